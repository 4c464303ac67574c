with records as (
    select
        *,
        case when primary_need_code like 'N_' then primary_need_code end as known_need_code
    from {{ ref('stg_cin__records') }}
)

-- A return repeats the referral once per plan; two referrals of one child on one day are one; what is said of the birth
-- tells two children under one code apart. NFA only if all rows say so, the later closure with its own reason (date and
-- code are compared as one text), and both ends of what is said of the need (A.7, DECISIONS D6, D30).
select
    return_year,
    la_code,
    la_child_id,
    birth_month_number,
    is_unborn_report,
    referral_date,
    bool_and(is_nfa) as is_nfa,
    bool_or(cpp_start_date is not null or cin_plan_start_date is not null) as has_plan,
    min(referral_source_code) as referral_source_code,
    min(known_need_code) as lowest_primary_need_code,
    max(known_need_code) as highest_primary_need_code,
    max(closure_date) as closure_date,
    case
        when max(closure_date) is null then max(closure_reason_code)
        else
            nullif(
                substring(
                    max(cast(closure_date as {{ dbt.type_string() }}) || coalesce(closure_reason_code, '')), 11
                ),
                ''
            )
    end as closure_reason_code
from records
group by return_year, la_code, la_child_id, birth_month_number, is_unborn_report, referral_date
