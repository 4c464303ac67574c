with assessments as (
    {{ governed_source('cin', 'cin_assessments') }}
),

tidied as (
    select
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        referral_date,
        assessment_start_date,
        assessment_authorisation_date
    from assessments
)

-- Two of one referral on one day are one; the later end.
select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    assessment_start_date,
    max(assessment_authorisation_date) as assessment_authorisation_date
from tidied
group by return_year, la_code, la_child_id, referral_date, assessment_start_date
