{{ config(materialized='table') }}

-- How long a follow-up runs from a day on which somebody enters, per sample and reading of an outcome: what depends on
-- the day alone, worked out once for all who enter on it (FV.OUT.*). Covered from its start: the day lies in the data
-- window of the outcome's source and not before the first day on which it can be observed (FV.SAMPLE.5, FV.OUT.S2).
with days as (
    select distinct
        sample_number,
        anchor_date
    from {{ ref('int_cohort__anchors') }}
)

select
    days.sample_number,
    days.anchor_date,
    readings.reading_number,
    readings.reading_count,
    readings.measure,
    readings.window_terms,
    readings.is_already_looked_after_excluded,
    readings.is_censored_at_18,
    readings.turning_18_exclusion,
    readings.observable_from_date,
    definitions.source_kind,
    samples.cohort = 'trend' as is_trend,
    {{ quarter_start('days.anchor_date') }} as quarter_start_date,
    {{ return_year('days.anchor_date') }} as first_return_year,
    {{ follow_up_end('days.anchor_date', 'readings', 'terms') }} as follow_up_end_date,
    coalesce(days.anchor_date >= readings.observable_from_date, true)
    and coalesce(days.anchor_date >= limits.first_date, true) as is_start_covered,
    coalesce(limits.last_date, {{ far_future() }}) as last_covered_date
from days
inner join {{ ref('int_cohort__samples') }} as samples on days.sample_number = samples.sample_number
inner join {{ ref('int_programmes__readings') }} as readings
    on
        samples.programme_id = readings.programme_id
        and samples.anchor = readings.anchor
        and (samples.cohort = 'trial' or readings.is_trend_reading)
inner join {{ ref('outcomes') }} as definitions on readings.outcome_id = definitions.outcome_id
left join {{ ref('stg_governance__data_windows') }} as limits on definitions.source_kind = limits.source_kind
left join {{ ref('int_cohort__following_terms') }} as terms
    on days.anchor_date = terms.anchor_date and readings.window_terms = terms.term_number
-- Where the register of terms ends before the follow-up does, there is none.
where readings.window_months is not null or terms.last_date is not null
