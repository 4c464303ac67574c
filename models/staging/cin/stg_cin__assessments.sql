with assessments as (
    {{ governed_source('cin', 'cin_assessments') }}
)

select
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    referral_date,
    assessment_start_date,
    max(assessment_authorisation_date) as assessment_authorisation_date,
    max({{ tidy_code('assessment_factors') }}) as assessment_factor_codes
from assessments
group by return_year, la_code, {{ tidy_child_code('la_child_id') }}, referral_date, assessment_start_date
