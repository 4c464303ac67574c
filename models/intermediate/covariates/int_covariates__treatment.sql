{{ config(materialized='table') }}

-- Other definitions of being treated, for the children of the trial (FV.TREAT.2 to FV.TREAT.5): how much of the time
-- that a child was open in the trial period lies after the go-live of the LA in which it entered, whether it entered
-- while the programme was being embedded, and whether a trailblazer with a date counts. A child that was never open has
-- no share of time (DECISIONS D45).
with entries as (
    select
        entries.*,
        periods.trial_start_date,
        {{ add_days('periods.trial_end_date', 1) }} as trial_close_date,
        programmes.treated_minimum_time_pct,
        programmes.treated_minimum_days,
        areas.role,
        areas.programme_start_date,
        areas.embedding_start_date,
        areas.embedding_end_date
    from {{ ref('int_cohort__entries') }} as entries
    inner join {{ ref('int_programmes__trial_periods') }} as periods
        on entries.programme_id = periods.programme_id
    inner join {{ ref('programmes') }} as programmes on entries.programme_id = programmes.programme_id
    inner join {{ ref('int_programmes__local_authorities') }} as areas
        on entries.programme_id = areas.programme_id and entries.la_id = areas.la_id
),

open_time as (
    select
        entries.entry_id,
        sum({{ days_between(
            'greatest(spells.interval_start_date, entries.trial_start_date)',
            'least(coalesce(spells.interval_end_date, entries.trial_close_date), entries.trial_close_date)'
        ) }}) as open_days,
        sum(case
            when
                entries.role = 'treatment'
                and least(coalesce(spells.interval_end_date, entries.trial_close_date), entries.trial_close_date)
                > entries.programme_start_date
                then {{ days_between(
                    'greatest(spells.interval_start_date, entries.programme_start_date, entries.trial_start_date)',
                    'least(coalesce(spells.interval_end_date, entries.trial_close_date), entries.trial_close_date)'
                ) }}
            else 0
        end) as programme_days
    from entries
    inner join {{ ref('int_spells__open_referrals') }} as spells
        on
            entries.child_id = spells.child_id
            and spells.interval_start_date < entries.trial_close_date
            and (spells.interval_end_date is null or spells.interval_end_date > entries.trial_start_date)
    group by entries.entry_id
)

select
    entries.entry_id,
    entries.programme_id,
    entries.anchor,
    entries.child_id,
    cast(coalesce(open_time.open_days, 0) as integer) as open_days,
    cast(coalesce(open_time.programme_days, 0) as integer) as programme_days,
    case
        when open_time.open_days > 0
            then 100 * open_time.programme_days >= entries.treated_minimum_time_pct * open_time.open_days
    end as is_treated_by_share_of_time,
    coalesce(open_time.programme_days, 0) >= entries.treated_minimum_days as is_treated_by_days,
    coalesce(
        entries.anchor_date >= entries.embedding_start_date and entries.anchor_date <= entries.embedding_end_date,
        false
    ) as is_in_embedding_period,
    coalesce(
        entries.role in ('treatment', 'trailblazer') and entries.anchor_date >= entries.programme_start_date, false
    ) as is_treated_with_trailblazer
from entries
left join open_time on entries.entry_id = open_time.entry_id
