{{ config(materialized='table') }}

with records as (
    {{ governed_source('cin', 'cin_records') }}
)

-- Rows as sent, one by one, only tidied: the other models of the census make referrals, plans and children of them, and
-- the quality models judge what a return says before returns are joined. A table, because all of them read it.
select
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    {{ tidy_pupil_code('pupil_id') }} as pupil_id,
    birth_year,
    birth_month,
    coalesce({{ tidy_flag('is_expected_birth') }}, false) as is_expected_birth,
    coalesce({{ tidy_flag('is_unborn') }}, false) as is_unborn,
    {{ birth_month_number() }} as birth_month_number,
    {{ says_unborn() }} as is_unborn_report,
    {{ tidy_code('gender') }} as gender_code,
    {{ tidy_code('ethnicity') }} as ethnicity_code,
    {{ tidy_code('disability') }} as disability_codes,
    referral_date,
    {{ tidy_code('referral_source') }} as referral_source_code,
    {{ tidy_code('primary_need') }} as primary_need_code,
    coalesce({{ tidy_flag('referral_nfa') }}, false) as is_nfa,
    closure_date,
    {{ tidy_code('closure_reason') }} as closure_reason_code,
    cpp_start_date,
    cpp_end_date,
    cpp_previous_count,
    {{ tidy_code('cpp_initial_category') }} as cpp_initial_category_code,
    cin_plan_start_date,
    cin_plan_end_date
from records
