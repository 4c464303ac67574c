with areas as (
    select * from {{ ref('int_programmes__continuing_areas') }}
),

-- A code may stand in several rows of the register (the name or the ONS code changed): the latest counts.
registered as (
    select
        la_code,
        la_name,
        region_name,
        la_type,
        row_number() over (
            partition by la_code
            order by coalesce(valid_to_date, cast('9999-12-31' as date)) desc
        ) as recency
    from {{ ref('local_authority_codes') }}
),

codes as (
    select
        areas.la_id,
        areas.la_code,
        coalesce(registered.la_name, 'Not in the register (' || areas.la_code || ')') as la_name,
        registered.region_name,
        registered.la_type,
        registered.la_code is not null as is_registered
    from areas
    left join registered on areas.la_code = registered.la_code and registered.recency = 1
)

select
    la_id,
    {{ ordered_list('la_name', ' / ', 'la_code') }} as la_name,
    {{ ordered_list('la_code', ',', 'la_code') }} as la_codes,
    max(region_name) as region_name,
    max(la_type) as la_type,
    bool_and(is_registered) as is_registered,
    count(*) > 1 as is_reorganised
from codes
group by la_id
