with codes as (
    select
        areas.la_id,
        listed.la_code,
        listed.la_name,
        listed.region_name,
        listed.la_type,
        listed.valid_to_date,
        row_number() over (
            partition by areas.la_id
            order by coalesce(listed.valid_to_date, cast('9999-12-31' as date)) desc, listed.la_code
        ) as recency
    from {{ ref('local_authority_codes') }} as listed
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on listed.la_code = areas.la_code
),

names as (
    select distinct
        la_id,
        la_code,
        la_name
    from codes
),

area_names as (
    select
        la_id,
        {{ dbt.listagg('la_name', "' / '", 'order by la_code') }} as la_name,
        {{ dbt.listagg('la_code', "','", 'order by la_code') }} as la_codes,
        count(*) as la_code_count
    from (
        select
            la_id,
            la_code,
            min(la_name) as la_name
        from names
        group by la_id, la_code
    ) as one_name
    group by la_id
)

select
    area_names.la_id,
    area_names.la_name,
    area_names.la_codes,
    codes.region_name,
    codes.la_type,
    area_names.la_code_count > 1 as is_reorganised
from area_names
inner join codes on area_names.la_id = codes.la_id and codes.recency = 1
