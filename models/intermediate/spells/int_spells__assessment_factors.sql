{{ config(materialized='table') }}

-- Factors that any assessment under a referral shows, in whichever return (A.4). Whole codes between commas: part of a
-- code is not the code.
with assessments as (
    select
        return_year,
        la_code,
        la_child_id,
        referral_date,
        ',' || replace(assessment_factor_codes, ' ', '') || ',' as listed_codes
    from {{ ref('stg_cin__assessments') }}
    where assessment_factor_codes is not null
),

shown as (
    select
        assessments.return_year,
        assessments.la_code,
        assessments.la_child_id,
        assessments.referral_date,
        codes.assessment_factor_code
    from assessments
    inner join {{ ref('assessment_factor_codes') }} as codes
        on assessments.listed_codes like '%,' || codes.assessment_factor_code || ',%'
)

select distinct
    identities.la_id,
    identities.child_key,
    shown.referral_date,
    shown.assessment_factor_code
from shown
{{ join_identities('shown', "'CIN'") }}
