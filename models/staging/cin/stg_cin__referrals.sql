{{ config(materialized='table') }}

-- A table, not a view: every return is read for it, and much is built on it.
with records as (
    {{ governed_source('cin', 'cin_records') }}
),

tidied as (
    select
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        {{ birth_month_number() }} as birth_month_number,
        {{ says_unborn() }} as is_unborn_report,
        referral_date,
        coalesce({{ tidy_flag('referral_nfa') }}, false) as is_nfa,
        {{ tidy_code('referral_source') }} as referral_source_code,
        case when {{ tidy_code('primary_need') }} like 'N_' then {{ tidy_code('primary_need') }} end
            as primary_need_code,
        closure_date,
        {{ tidy_code('closure_reason') }} as closure_reason_code,
        cpp_start_date is not null or cin_plan_start_date is not null as has_plan
    from records
),

ranked as (
    select
        *,
        row_number() over (
            partition by
                return_year, la_code, la_child_id, birth_month_number, is_unborn_report, referral_date
            order by closure_date desc nulls last, closure_reason_code desc nulls last
        ) as closure_rank
    from tidied
)

-- A return repeats the referral once per plan; two referrals of one child on one day are one; what is said of the
-- birth tells two children under one code apart. NFA only if all rows say so, the later closure with its own reason,
-- and both ends of what is said of the need (A.7, DECISIONS D6, D30).
select
    return_year,
    la_code,
    la_child_id,
    birth_month_number,
    is_unborn_report,
    referral_date,
    bool_and(is_nfa) as is_nfa,
    bool_or(has_plan) as has_plan,
    min(referral_source_code) as referral_source_code,
    min(primary_need_code) as lowest_primary_need_code,
    max(primary_need_code) as highest_primary_need_code,
    max(closure_date) as closure_date,
    max(case when closure_rank = 1 then closure_reason_code end) as closure_reason_code
from ranked
group by return_year, la_code, la_child_id, birth_month_number, is_unborn_report, referral_date
