{{ config(materialized='table') }}

-- FV.OUT.S5: sessions missed without authorisation as a percentage of those possible over the terms that follow. All
-- of them must have been collected and hold the pupil: otherwise missing, never 0. Who is not of school age in one of
-- them, and so has no row for it, is not among the children the outcome is about (DECISIONS D44).
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'pooled_terms'
),

pooled as (
    select
        windows.window_id,
        sum(terms.sessions_possible_count) as sessions_possible_count,
        sum(terms.unauthorised_absence_count) as unauthorised_absence_count,
        count(*) as term_count,
        bool_and(terms.is_measured) as is_measured
    from windows
    inner join {{ ref('int_cohort__absence_terms') }} as terms
        on windows.anchor_id = terms.anchor_id and windows.follow_up_end_date >= terms.term_start_date
    group by windows.window_id
)

select
    windows.window_id,
    100 * cast(pooled.unauthorised_absence_count as {{ type_double() }})
    / nullif(pooled.sessions_possible_count, 0) as event_value,
    cast(null as date) as first_event_date,
    coalesce(pooled.term_count = windows.window_terms, false) as is_eligible,
    coalesce(pooled.is_measured, false) as is_measured
from windows
left join pooled on windows.window_id = pooled.window_id
