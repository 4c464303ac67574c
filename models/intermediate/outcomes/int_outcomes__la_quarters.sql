{{ config(materialized='table') }}

-- The trend of an LA: the mean of the outcome among those who entered in a quarter, whose windows the returns cover
-- whole (FV.MATCH.3). Days and percentages have a spread of their own; that of a share follows from it.
with counts as (
    select
        outcomes.reading_number,
        anchors.la_id,
        {{ quarter_start('anchors.anchor_date') }} as quarter_start_date,
        sum(outcomes.outcome_value) as numerator_sum,
        sum(outcomes.outcome_value * outcomes.outcome_value) as square_sum,
        count(*) as denominator_count
    from {{ ref('int_outcomes__all') }} as outcomes
    inner join {{ ref('int_cohort__anchors') }} as anchors on outcomes.anchor_id = anchors.anchor_id
    inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
    where samples.cohort = 'trend' and outcomes.is_in_sample and outcomes.is_fully_observed
    group by outcomes.reading_number, anchors.la_id, {{ quarter_start('anchors.anchor_date') }}
),

cells as (
    select
        readings.programme_id,
        readings.outcome_id,
        counts.la_id,
        counts.quarter_start_date,
        counts.numerator_sum,
        counts.square_sum,
        counts.denominator_count
    from counts
    inner join {{ ref('int_programmes__readings') }} as readings on counts.reading_number = readings.reading_number
),

-- Quarters of the default window set the scale, so that an alternative does not change the default's figures; a quarter
-- that no default window holds is scaled by all LAs that have it.
flagged as (
    select
        cells.*,
        quarters.is_in_default_window,
        bool_or(quarters.is_in_default_window) over (
            partition by cells.programme_id, cells.outcome_id, cells.quarter_start_date
        ) as is_default_quarter
    from cells
    inner join {{ ref('int_programmes__trend_quarters') }} as quarters
        on
            cells.programme_id = quarters.programme_id
            and cells.outcome_id = quarters.outcome_id
            and cells.la_id = quarters.la_id
            and cells.quarter_start_date = quarters.quarter_start_date
),

rates as (
    select
        *,
        numerator_sum / nullif(denominator_count, 0) as rate,
        greatest(
            square_sum / nullif(denominator_count, 0)
            - (numerator_sum / nullif(denominator_count, 0)) * (numerator_sum / nullif(denominator_count, 0)),
            0
        ) as variance,
        avg(denominator_count)
            over (partition by programme_id, outcome_id, quarter_start_date)
            as mean_denominator_count
    from flagged
),

-- The mean and the spread of a quarter are those of LAs that are not far smaller than the usual one: the share of a
-- handful of children would decide the scale for all (DECISIONS D16).
quarters as (
    select
        rates.programme_id,
        rates.outcome_id,
        rates.quarter_start_date,
        avg(rates.rate) as mean_rate,
        stddev_samp(rates.rate) as spread
    from rates
    inner join {{ ref('programmes') }} as programmes on rates.programme_id = programmes.programme_id
    where
        100 * rates.denominator_count >= programmes.matching_minimum_size_pct * rates.mean_denominator_count
        and rates.is_in_default_window = rates.is_default_quarter
    group by rates.programme_id, rates.outcome_id, rates.quarter_start_date
)

-- Standardised within the quarter over all eligible LAs: a change of measurement that meets all drops out
-- (FV.MATCH.2).
select
    rates.programme_id,
    rates.outcome_id,
    rates.la_id,
    rates.quarter_start_date,
    rates.is_in_default_window,
    rates.numerator_sum,
    rates.denominator_count,
    rates.rate,
    rates.variance / nullif(rates.denominator_count, 0) as rate_variance,
    (rates.rate - quarters.mean_rate) / nullif(quarters.spread, 0) as standardised_value,
    rates.variance / nullif(rates.denominator_count, 0)
    / nullif(quarters.spread * quarters.spread, 0) as standardised_variance
from rates
inner join quarters
    on
        rates.programme_id = quarters.programme_id
        and rates.outcome_id = quarters.outcome_id
        and rates.quarter_start_date = quarters.quarter_start_date
