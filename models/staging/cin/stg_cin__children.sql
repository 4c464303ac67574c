{{ config(materialized='table') }}

-- A table, not a view: every return is read for it, and much is built on it.
with records as (
    {{ governed_source('cin', 'cin_records') }}
)

select distinct
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    {{ tidy_pupil_code('pupil_id') }} as pupil_id,
    birth_year,
    birth_month,
    coalesce({{ tidy_flag('is_expected_birth') }}, false) as is_expected_birth,
    coalesce({{ tidy_flag('is_unborn') }}, false) as is_unborn,
    {{ tidy_code('gender') }} as gender_code,
    {{ tidy_code('ethnicity') }} as ethnicity_code,
    coalesce({{ tidy_code('disability') }}, '0') not in ('0', 'NONE') as is_disabled
from records
