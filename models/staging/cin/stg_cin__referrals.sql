with records as (
    {{ governed_source('cin', 'cin_records') }}
),

tidied as (
    select
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        referral_date,
        {{ tidy_flag('referral_nfa') }} as is_nfa,
        {{ tidy_code('referral_source') }} as referral_source_code,
        {{ tidy_code('primary_need') }} as primary_need_code,
        closure_date,
        {{ tidy_code('closure_reason') }} as closure_reason_code
    from records
)

-- A return repeats the referral once per plan; two referrals of one child on one day are one, two different
-- needs in one return are none (A.7).
select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    bool_and(is_nfa) as is_nfa,
    min(referral_source_code) as referral_source_code,
    case when min(primary_need_code) = max(primary_need_code) then min(primary_need_code) end as primary_need_code,
    max(closure_date) as closure_date,
    max(closure_reason_code) as closure_reason_code
from tidied
group by return_year, la_code, la_child_id, referral_date
