{{ config(materialized='table') }}

with cin as (
    select
        'CIN' as source_kind,
        return_year,
        la_code,
        la_child_id,
        pupil_id,
        birth_year,
        birth_month,
        is_expected_birth,
        is_unborn or coalesce(birth_year = 1900 and birth_month = 1, false) as is_unborn,
        gender_code,
        ethnicity_code,
        is_disabled,
        false as is_uasc
    from {{ ref('stg_cin__children') }}
),

cla as (
    select
        'SSDA903' as source_kind,
        return_year,
        la_code,
        la_child_id,
        pupil_id,
        birth_year,
        birth_month,
        false as is_expected_birth,
        false as is_unborn,
        gender_code,
        ethnicity_code,
        false as is_disabled,
        is_uasc
    from {{ ref('stg_cla__children') }}
),

united as (
    select * from cin
    union all
    select * from cla
)

-- A birth that no child of a return can have is not known; January 1900 is how some returns write unborn (A.5).
select
    united.source_kind,
    united.return_year,
    united.la_code,
    united.la_child_id,
    united.pupil_id,
    {{ birth_month_number('united') }} as birth_month_number,
    united.is_expected_birth,
    united.is_unborn,
    united.gender_code,
    united.ethnicity_code,
    united.is_disabled,
    united.is_uasc
from united
inner join {{ ref('int_programmes__continuing_areas') }} as areas on united.la_code = areas.la_code
