{{ config(materialized='table') }}

with reports as (
    select
        identities.la_id,
        identities.child_id,
        referrals.*,
        needs.primary_need
    from {{ ref('stg_cin__referrals') }} as referrals
    inner join {{ ref('int_children__identities') }} as identities
        on referrals.la_code = identities.la_code and referrals.la_child_id = identities.la_child_id
    left join {{ ref('primary_need_codes') }} as needs on referrals.primary_need_code = needs.primary_need_code
),

years as (
    select
        la_id,
        child_id,
        referral_date,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year,
        max(case when closure_date is not null then return_year end) as closure_year,
        max(case when closure_reason_code is not null then return_year end) as closure_reason_year,
        min(case when primary_need is not null then return_year end) as need_year
    from reports
    group by la_id, child_id, referral_date
),

-- A referral is repeated in every return while it is open: the latest return that has a closure knows best, the
-- earliest that has a need says why the child was referred; NFA only if every report says so (A.7).
joined as (
    select
        reports.la_id,
        reports.child_id,
        reports.referral_date,
        min(case when reports.return_year = years.first_return_year then reports.la_code end) as la_code,
        min(case when reports.return_year = years.first_return_year then reports.la_child_id end) as la_child_id,
        coalesce(bool_and(reports.is_nfa), false) as is_nfa,
        min(case when reports.return_year = years.first_return_year then reports.referral_source_code end)
            as referral_source_code,
        min(case when reports.return_year = years.need_year then reports.primary_need end) as primary_need,
        max(case when reports.return_year = years.closure_year then reports.closure_date end) as closure_date,
        max(case when reports.return_year = years.closure_reason_year then reports.closure_reason_code end)
            as closure_reason_code,
        min(years.first_return_year) as first_return_year,
        max(years.last_return_year) as last_return_year
    from reports
    inner join years
        on
            reports.la_id = years.la_id
            and reports.child_id = years.child_id
            and reports.referral_date = years.referral_date
    group by reports.la_id, reports.child_id, reports.referral_date
)

select
    md5(joined.la_id || '|' || joined.child_id || '|' || cast(joined.referral_date as {{ dbt.type_string() }}))
        as referral_id,
    joined.*,
    not joined.is_nfa and coalesce(reasons.is_episode_of_need, true) as is_episode_of_need
from joined
left join {{ ref('closure_reason_codes') }} as reasons
    on joined.closure_reason_code = reasons.closure_reason_code
