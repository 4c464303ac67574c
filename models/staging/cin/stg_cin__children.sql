-- Particulars as sent, each set once; int_children__observations alone stores them.
select distinct
    return_year,
    la_code,
    la_child_id,
    pupil_id,
    birth_year,
    birth_month,
    is_expected_birth,
    is_unborn,
    gender_code,
    ethnicity_code,
    coalesce(disability_codes, '0') not in ('0', 'NONE') as is_disabled
from {{ ref('stg_cin__records') }}
