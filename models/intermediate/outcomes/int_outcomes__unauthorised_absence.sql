-- FV.OUT.S5: sessions missed without authorisation as a percentage of those possible over the terms that follow. All
-- of them must have been collected and hold the pupil, with a possible session in one at least: otherwise missing,
-- never 0. Who is not of school age in one of them is not among the children the outcome is about (DECISIONS D54).
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'pooled_terms'
),

pooled as (
    select
        windows.window_id,
        sum(terms.sessions_possible_count) as sessions_possible_count,
        sum(terms.unauthorised_absence_count) as unauthorised_absence_count,
        bool_and(terms.is_of_school_age) as is_of_school_age,
        bool_and(terms.is_held) as is_held
    from windows
    inner join {{ ref('int_cohort__absence_terms') }} as terms
        on windows.anchor_id = terms.anchor_id and windows.window_terms >= terms.term_number
    group by windows.window_id
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    100 * cast(pooled.unauthorised_absence_count as {{ type_double() }})
    / nullif(pooled.sessions_possible_count, 0) as event_value,
    cast(null as date) as first_event_date,
    coalesce(pooled.is_of_school_age, false) as is_eligible,
    coalesce(pooled.is_held and pooled.sessions_possible_count > 0, false) as is_measured
from windows
left join pooled on windows.window_id = pooled.window_id
