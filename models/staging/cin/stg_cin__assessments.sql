with assessments as (
    {{ governed_source('cin', 'cin_assessments') }}
),

tidied as (
    select distinct
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        referral_date,
        assessment_start_date,
        assessment_authorisation_date,
        {{ tidy_code('assessment_factors') }} as assessment_factor_codes
    from assessments
)

-- An assessment that a return holds twice has the factors of both rows.
select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    assessment_start_date,
    max(assessment_authorisation_date) as assessment_authorisation_date,
    {{ ordered_list('assessment_factor_codes', ',', 'assessment_factor_codes') }} as assessment_factor_codes
from tidied
group by return_year, la_code, la_child_id, referral_date, assessment_start_date
