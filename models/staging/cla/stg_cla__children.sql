with children as (
    {{ governed_source('cla', 'cla_children') }}
)

select distinct
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    {{ tidy_pupil_code('pupil_id') }} as pupil_id,
    birth_year,
    birth_month,
    {{ tidy_code('gender') }} as gender_code,
    {{ tidy_code('ethnicity') }} as ethnicity_code,
    coalesce({{ tidy_flag('uasc_status') }}, false) as is_uasc
from children
