{{ config(materialized='table') }}

-- How often each return holds each code. Lists are taken apart after they were counted: there are few different ones.
with lists as (
    {% for model, source_kind, field, column in [
        ('stg_cin__records', 'CIN', 'gender', 'gender_code'),
        ('stg_cin__records', 'CIN', 'ethnicity', 'ethnicity_code'),
        ('stg_cin__records', 'CIN', 'disability', 'disability_codes'),
        ('stg_cin__records', 'CIN', 'primary need', 'primary_need_code'),
        ('stg_cin__records', 'CIN', 'referral source', 'referral_source_code'),
        ('stg_cin__records', 'CIN', 'closure reason', 'closure_reason_code'),
        ('stg_cin__records', 'CIN', 'category of abuse', 'cpp_initial_category_code'),
        ('stg_cin__assessments', 'CIN', 'assessment factor', 'assessment_factor_codes'),
        ('stg_cla__children', 'SSDA903', 'gender', 'gender_code'),
        ('stg_cla__children', 'SSDA903', 'ethnicity', 'ethnicity_code'),
        ('stg_cla__episodes', 'SSDA903', 'reason for new episode', 'reason_for_new_episode_code'),
        ('stg_cla__episodes', 'SSDA903', 'legal status', 'legal_status_code'),
        ('stg_cla__episodes', 'SSDA903', 'placement', 'placement_code'),
        ('stg_cla__episodes', 'SSDA903', 'category of need', 'category_of_need_code'),
        ('stg_cla__episodes', 'SSDA903', 'reason episode ceased', 'reason_episode_ceased_code')
    ] %}
    select
        '{{ source_kind }}' as source_kind,
        '{{ field }}' as field,
        la_code,
        return_year,
        {{ column }} as codes,
        count(*) as row_count
    from {{ ref(model) }}
    where {{ column }} is not null
    group by la_code, return_year, {{ column }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

-- 40 places: more than any list of factors or disabilities has.
places as (
    {% for place in range(1, 41) %}
    select {{ place }} as place
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

parts as (
    select
        source_kind,
        field,
        la_code,
        return_year,
        codes as code,
        row_count
    from lists
    where codes not like '%,%'
    union all
    select
        lists.source_kind,
        lists.field,
        lists.la_code,
        lists.return_year,
        nullif(trim(split_part(lists.codes, ',', places.place)), '') as code,
        lists.row_count
    from lists
    cross join places
    where lists.codes like '%,%'
)

select
    parts.source_kind,
    parts.field,
    areas.la_id,
    parts.la_code,
    parts.return_year,
    parts.code,
    cast(sum(parts.row_count) as bigint) as row_count
from parts
inner join {{ ref('int_programmes__continuing_areas') }} as areas on parts.la_code = areas.la_code
where parts.code is not null
group by parts.source_kind, parts.field, areas.la_id, parts.la_code, parts.return_year, parts.code
