select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    assessment_start_date,
    assessment_authorisation_date <= {{ return_year_end('return_year - 1') }}
    or assessment_authorisation_date > {{ return_year_end('return_year') }} as rule_8696
from {{ ref('stg_cin__assessments') }}
