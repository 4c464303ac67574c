-- What the estimates are made from: a row per child, outcome and reading, from the day the outcome is counted from.
with entries as (
    select
        *,
        {{ financial_year_label(return_year('anchor_date')) }} as financial_year
    from {{ ref('int_cohort__entries') }}
)

select
    entries.programme_id,
    readings.outcome_id,
    readings.reading_id,
    readings.is_default as is_default_reading,
    entries.anchor,
    {{ id_of('entries.child_key') }} as child_id,
    entries.la_id,
    entries.anchor_date,
    outcomes.window_end_date,
    entries.financial_year,
    entries.is_treatment_la,
    entries.is_treated,
    cast(entries.age_at_anchor_months as integer) as age_at_anchor_months,
    outcomes.is_in_sample,
    outcomes.is_fully_observed,
    case when outcomes.is_in_sample then outcomes.outcome_value end as outcome_value
from {{ ref('int_outcomes__all') }} as outcomes
inner join entries on outcomes.anchor_id = entries.anchor_id
inner join {{ ref('int_programmes__readings') }} as readings on outcomes.reading_number = readings.reading_number
