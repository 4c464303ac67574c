-- FV.OUT.S2: days of the window on plans, each day once. The start day counts and the end day does not, so the most is
-- the length of the window; an open plan runs to its end, and where the 18th birthday cuts the window, its eve counts
-- (DECISIONS D60). The reading says what counts as a plan: child protection plans, CIN plans, both, or, for the years
-- before CIN plan dates, any open referral with further action.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure in ('plan', 'cpp', 'cin_plan', 'cin_episode')
),

intervals as (
    select
        child_key,
        'cpp' as measure,
        interval_start_date,
        interval_end_date
    from {{ ref('int_spells__plan_intervals') }}
    where plan_kind = 'child protection plan'
    union all
    select
        child_key,
        'cin_plan' as measure,
        interval_start_date,
        interval_end_date
    from {{ ref('int_spells__plan_intervals') }}
    where plan_kind = 'CIN plan'
    union all
    select
        child_key,
        'plan' as measure,
        interval_start_date,
        interval_end_date
    from {{ ref('int_spells__plan_intervals') }}
    union all
    select
        child_key,
        'cin_episode' as measure,
        interval_start_date,
        interval_end_date
    from {{ ref('int_spells__open_referrals') }}
),

days as (
    select
        windows.window_id,
        sum({{ days_between(
            'greatest(intervals.interval_start_date, windows.window_start_date)',
            'least(coalesce(intervals.interval_end_date, windows.days_end_date), windows.days_end_date)'
        ) }}) as plan_days,
        min(greatest(intervals.interval_start_date, windows.window_start_date)) as first_event_date
    from windows
    inner join intervals
        on
            windows.child_key = intervals.child_key
            and windows.measure = intervals.measure
            and intervals.interval_start_date < windows.days_end_date
            and (intervals.interval_end_date is null or intervals.interval_end_date > windows.window_start_date)
    group by windows.window_id
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    coalesce(days.plan_days, 0) as event_value,
    days.first_event_date,
    true as is_eligible,
    true as is_measured
from windows
left join days on windows.window_id = days.window_id
