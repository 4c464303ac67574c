{{ config(materialized='table') }}

with reports as (
    select
        identities.la_id,
        identities.child_key,
        referrals.*,
        lowest.primary_need as lowest_need,
        highest.primary_need as highest_need,
        row_number() over (
            partition by identities.la_id, identities.child_key, referrals.referral_date
            order by
                case when referrals.closure_date is null then 1 else 0 end asc,
                referrals.return_year desc,
                referrals.closure_date desc,
                referrals.closure_reason_code desc nulls last
        ) as closure_rank,
        min(referrals.return_year) over referral as first_return_year,
        min(case when lowest.primary_need is not null then referrals.return_year end) over referral as need_year
    from {{ ref('stg_cin__referrals') }} as referrals
    {{ join_identities('referrals', "'CIN'", 'referrals.birth_month_number', 'referrals.is_unborn_report') }}
    left join {{ ref('primary_need_codes') }} as lowest
        on referrals.lowest_primary_need_code = lowest.primary_need_code
    left join {{ ref('primary_need_codes') }} as highest
        on referrals.highest_primary_need_code = highest.primary_need_code
    window referral as (partition by identities.la_id, identities.child_key, referrals.referral_date)
),

-- What the returns show to have been done under a referral, whatever its flag says (DECISIONS D31).
activities as (
    select
        return_year,
        la_code,
        la_child_id,
        referral_date
    from {{ ref('stg_cin__assessments') }}
    union
    select
        return_year,
        la_code,
        la_child_id,
        referral_date
    from {{ ref('stg_cin__section47') }}
),

acted as (
    select distinct
        identities.la_id,
        identities.child_key,
        activities.referral_date
    from activities
    {{ join_identities('activities', "'CIN'") }}
),

-- A referral is repeated in every return while it is open: the latest return that has a closure knows best, the
-- earliest that has a need says why the child was referred; NFA only if every report says so (A.7, DECISIONS D6) and
-- none shows any action.
joined as (
    select
        reports.la_id,
        reports.child_key,
        reports.referral_date,
        min(case when reports.return_year = reports.first_return_year then reports.la_code end) as la_code,
        min(case when reports.return_year = reports.first_return_year then reports.la_child_id end) as la_child_id,
        bool_and(reports.is_nfa) as is_flagged_nfa,
        bool_or(reports.has_plan) or count(acted.child_key) > 0 as has_activity,
        min(case when reports.return_year = reports.first_return_year then reports.referral_source_code end)
            as referral_source_code,
        min(case when reports.return_year = reports.need_year then reports.lowest_need end) as lowest_need,
        max(case when reports.return_year = reports.need_year then reports.highest_need end) as highest_need,
        max(case when reports.closure_rank = 1 then reports.closure_date end) as closure_date,
        max(case when reports.closure_rank = 1 then reports.closure_reason_code end) as closure_reason_code,
        min(reports.first_return_year) as first_return_year,
        max(reports.return_year) as last_return_year
    from reports
    left join acted
        on
            reports.la_id = acted.la_id
            and reports.child_key = acted.child_key
            and reports.referral_date = acted.referral_date
    group by reports.la_id, reports.child_key, reports.referral_date
)

select
    {{ key_of(joined_text(['joined.la_id', 'joined.child_key', 'joined.referral_date'])) }} as referral_key,
    joined.la_id,
    joined.child_key,
    joined.referral_date,
    joined.la_code,
    joined.la_child_id,
    joined.is_flagged_nfa and not joined.has_activity as is_nfa,
    joined.is_flagged_nfa and joined.has_activity as is_nfa_overruled,
    joined.referral_source_code,
    case when joined.lowest_need = joined.highest_need then joined.lowest_need end as primary_need,
    joined.closure_date,
    joined.closure_reason_code,
    joined.first_return_year,
    joined.last_return_year,
    (not joined.is_flagged_nfa or joined.has_activity) and coalesce(reasons.is_episode_of_need, true)
        as is_episode_of_need
from joined
left join {{ ref('closure_reason_codes') }} as reasons
    on joined.closure_reason_code = reasons.closure_reason_code
