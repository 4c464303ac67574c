{{ config(materialized='table') }}

-- Other definitions of being treated, for the children of the trial (FV.TREAT.2 to FV.TREAT.5): how much of the time
-- that a child was open in the trial period was under the programme, that is, open in a treatment LA that had gone
-- live; whether it entered while the programme was being embedded; and whether a trailblazer counts from its date on.
-- A child that was never open has no share of time, one of a trailblazer without a date is not known (DECISIONS D55).
with periods as (
    select
        programme_id,
        trial_start_date,
        {{ add_days('trial_end_date', 1) }} as trial_close_date
    from {{ ref('int_programmes__trial_periods') }}
),

children as (
    select distinct
        programme_id,
        child_key
    from {{ ref('int_cohort__entries') }}
),

open_time as (
    select
        children.programme_id,
        children.child_key,
        sum({{ days_between(
            'greatest(spells.interval_start_date, periods.trial_start_date)',
            'least(coalesce(spells.interval_end_date, periods.trial_close_date), periods.trial_close_date)'
        ) }}) as open_days
    from children
    inner join periods on children.programme_id = periods.programme_id
    inner join {{ ref('int_spells__open_referrals') }} as spells
        on
            children.child_key = spells.child_key
            and spells.interval_start_date < periods.trial_close_date
            and (spells.interval_end_date is null or spells.interval_end_date > periods.trial_start_date)
    group by children.programme_id, children.child_key
),

-- The same days in treatment LAs after their go-live, each once where two of them had the child open.
treated_stays as (
    select
        children.programme_id,
        children.child_key,
        greatest(stays.stay_start_date, areas.go_live_date, periods.trial_start_date) as start_date,
        least(stays.stay_end_date, periods.trial_close_date) as end_date
    from children
    inner join periods on children.programme_id = periods.programme_id
    inner join {{ ref('int_programmes__local_authorities') }} as areas
        on children.programme_id = areas.programme_id and areas.is_treatment_la
    inner join {{ ref('int_spells__referral_stays') }} as stays
        on children.child_key = stays.child_key and areas.la_id = stays.la_id
),

ordered as (
    select
        *,
        max(end_date) over (
            partition by programme_id, child_key
            order by start_date, end_date
            rows between unbounded preceding and 1 preceding
        ) as latest_end_date
    from treated_stays
    where end_date > start_date
),

programme_time as (
    select
        programme_id,
        child_key,
        sum(case
            when latest_end_date is null or latest_end_date <= start_date
                then {{ days_between('start_date', 'end_date') }}
            when latest_end_date < end_date
                then {{ days_between('latest_end_date', 'end_date') }}
            else 0
        end) as programme_days
    from ordered
    group by programme_id, child_key
),

entries as (
    select
        entries.*,
        programmes.treated_minimum_time_pct,
        programmes.treated_minimum_days,
        areas.role,
        areas.programme_start_date,
        areas.embedding_start_date,
        areas.embedding_end_date,
        cast(coalesce(open_time.open_days, 0) as integer) as open_days,
        cast(coalesce(programme_time.programme_days, 0) as integer) as programme_days
    from {{ ref('int_cohort__entries') }} as entries
    inner join {{ ref('programmes') }} as programmes on entries.programme_id = programmes.programme_id
    inner join {{ ref('int_programmes__local_authorities') }} as areas
        on entries.programme_id = areas.programme_id and entries.la_id = areas.la_id
    left join open_time on entries.programme_id = open_time.programme_id and entries.child_key = open_time.child_key
    left join programme_time
        on entries.programme_id = programme_time.programme_id and entries.child_key = programme_time.child_key
)

select
    anchor_id,
    open_days,
    programme_days,
    case when open_days > 0 then 100 * programme_days >= treated_minimum_time_pct * open_days end
        as is_treated_by_share_of_time,
    programme_days >= treated_minimum_days as is_treated_by_days,
    coalesce(anchor_date >= embedding_start_date and anchor_date <= embedding_end_date, false)
        as is_in_embedding_period,
    case
        when role = 'trailblazer' and programme_start_date is null then cast(null as boolean)
        else coalesce(role in ('treatment', 'trailblazer') and anchor_date >= programme_start_date, false)
    end as is_treated_with_trailblazer
from entries
