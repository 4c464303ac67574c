{{ config(materialized='table') }}

-- Days on plans, each once (DECISIONS D32): half-open intervals that do not overlap, united over LAs and kinds. A day
-- under both kinds is a day on a child protection plan, which ends a CIN plan (A.6, rules 4001, 4016).
with stated as (
    select
        la_id,
        child_key,
        coalesce(last_referral_date, referral_date) as referral_date,
        'child protection plan' as plan_kind,
        cpp_start_date as plan_start_date,
        cpp_end_date as plan_end_date,
        last_return_year
    from {{ ref('int_spells__child_protection_plans') }}
    union all
    select
        la_id,
        child_key,
        coalesce(last_referral_date, referral_date) as referral_date,
        'CIN plan' as plan_kind,
        cin_plan_start_date as plan_start_date,
        cin_plan_end_date as plan_end_date,
        last_return_year
    from {{ ref('int_spells__cin_plans') }}
),

last_returns as (
    select
        la_id,
        max(last_return_year) as last_return_year
    from {{ ref('int_spells__referrals') }}
    group by la_id
),

-- An open plan is repeated every year: one that a later return of the LA leaves out is over. One that goes on under
-- another referral ends with the last (DECISIONS D66).
ended as (
    select
        stated.child_key,
        stated.plan_kind,
        stated.plan_start_date,
        coalesce(
            stated.plan_end_date,
            case when referrals.closure_date >= stated.plan_start_date then referrals.closure_date end,
            case
                when stated.last_return_year < last_returns.last_return_year
                    then {{ return_year_end('stated.last_return_year') }}
            end,
            cast('9999-12-31' as date)
        ) as plan_end_date
    from stated
    inner join last_returns on stated.la_id = last_returns.la_id
    left join {{ ref('int_spells__referrals') }} as referrals
        on
            stated.la_id = referrals.la_id
            and stated.child_key = referrals.child_key
            and stated.referral_date = referrals.referral_date
),

plans as (
    select * from ended
    where plan_end_date > plan_start_date
),

bounds as (
    select
        child_key,
        plan_start_date as bound_date
    from plans
    union
    select
        child_key,
        plan_end_date as bound_date
    from plans
),

pieces as (
    select
        child_key,
        bound_date as start_date,
        lead(bound_date) over (partition by child_key order by bound_date) as end_date
    from bounds
),

covered as (
    select
        pieces.child_key,
        pieces.start_date,
        pieces.end_date,
        max(case when plans.plan_kind = 'child protection plan' then 1 else 0 end) as is_protection
    from pieces
    inner join plans
        on
            pieces.child_key = plans.child_key
            and pieces.start_date >= plans.plan_start_date
            and pieces.end_date <= plans.plan_end_date
    group by pieces.child_key, pieces.start_date, pieces.end_date
),

marked as (
    select
        *,
        case
            when
                lag(end_date) over child = start_date
                and lag(is_protection) over child = is_protection
                then 0
            else 1
        end as is_new
    from covered
    window child as (partition by child_key order by start_date)
),

numbered as (
    select
        *,
        sum(is_new) over (
            partition by child_key
            order by start_date
            rows between unbounded preceding and current row
        ) as interval_number
    from marked
)

select
    child_key,
    min(start_date) as interval_start_date,
    nullif(max(end_date), cast('9999-12-31' as date)) as interval_end_date,
    case when max(is_protection) = 1 then 'child protection plan' else 'CIN plan' end as plan_kind
from numbered
group by child_key, interval_number
