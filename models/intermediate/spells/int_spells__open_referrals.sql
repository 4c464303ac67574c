{{ config(materialized='table') }}

-- When a child was open to children's social care: referrals with further action, from the referral to the closure,
-- half-open and without overlaps, so that no day counts twice (FV.OUT.S2, FV.TREAT.2). A referral without a closure
-- that the LA left out of a later return is over by the end of the last return that had it.
with last_returns as (
    select
        la_id,
        max(last_return_year) as last_return_year
    from {{ ref('int_spells__referrals') }}
    group by la_id
),

spells as (
    select
        referrals.child_id,
        referrals.referral_date as start_date,
        coalesce(
            referrals.closure_date,
            case
                when referrals.last_return_year < last_returns.last_return_year
                    then {{ return_year_end('referrals.last_return_year') }}
            end,
            {{ far_future() }}
        ) as end_date
    from {{ ref('int_spells__referrals') }} as referrals
    inner join last_returns on referrals.la_id = last_returns.la_id
    where not referrals.is_nfa
),

ordered as (
    select
        *,
        max(end_date) over (
            partition by child_id
            order by start_date, end_date
            rows between unbounded preceding and 1 preceding
        ) as latest_end_date
    from spells
    where end_date > start_date
),

numbered as (
    select
        *,
        sum(case when start_date <= latest_end_date then 0 else 1 end) over (
            partition by child_id
            order by start_date, end_date
            rows between unbounded preceding and current row
        ) as interval_number
    from ordered
)

select
    child_id,
    min(start_date) as interval_start_date,
    nullif(max(end_date), {{ far_future() }}) as interval_end_date
from numbered
group by child_id, interval_number
