-- FV.OUT.S5: sessions missed without authorisation as a percentage of those possible over the terms that follow. All
-- terms must have been collected and hold the pupil: otherwise missing, never 0.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'pooled_terms'
),

pooled as (
    select
        anchor_id,
        sum(sessions_possible_count) as sessions_possible_count,
        sum(unauthorised_absence_count) as unauthorised_absence_count,
        bool_and(is_of_school_age) as is_of_school_age,
        bool_and(is_measured) as is_measured
    from {{ ref('int_cohort__absence_terms') }}
    group by anchor_id
)

select
    windows.window_id,
    100 * cast(pooled.unauthorised_absence_count as {{ type_double() }})
    / nullif(pooled.sessions_possible_count, 0) as event_value,
    cast(null as date) as first_event_date,
    coalesce(pooled.is_of_school_age, false) as is_eligible,
    coalesce(pooled.is_measured, false) as is_measured
from windows
left join pooled on windows.anchor_id = pooled.anchor_id
