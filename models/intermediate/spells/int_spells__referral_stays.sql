-- From when to when a referral with further action was open, half-open [start, end). One without a closure that the LA
-- left out of a later return is over by the end of the last return that had it (DECISIONS D32).
with last_returns as (
    select
        la_id,
        max(last_return_year) as last_return_year
    from {{ ref('int_spells__referrals') }}
    group by la_id
),

stays as (
    select
        referrals.referral_key,
        referrals.la_id,
        referrals.child_key,
        referrals.referral_date as stay_start_date,
        coalesce(
            referrals.closure_date,
            case
                when referrals.last_return_year < last_returns.last_return_year
                    then {{ return_year_end('referrals.last_return_year') }}
            end,
            {{ far_future() }}
        ) as stay_end_date
    from {{ ref('int_spells__referrals') }} as referrals
    inner join last_returns on referrals.la_id = last_returns.la_id
    where not referrals.is_nfa
)

select * from stays
where stay_end_date > stay_start_date
