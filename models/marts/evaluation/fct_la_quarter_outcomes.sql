-- The trend of an LA: the mean of the outcome among those who entered in a quarter, whose windows the returns cover
-- whole (FV.MATCH.3). Days and percentages have a spread of their own; that of a share follows from it.
with cells as (
    select
        outcomes.programme_id,
        outcomes.outcome_id,
        outcomes.la_id,
        {{ quarter_start('outcomes.window_start_date') }} as quarter_start_date,
        sum(outcomes.outcome_value) as numerator_sum,
        sum(outcomes.outcome_value * outcomes.outcome_value) as square_sum,
        count(*) as denominator_count
    from {{ ref('int_outcomes__all') }} as outcomes
    where outcomes.cohort = 'trend' and outcomes.is_in_sample and outcomes.is_fully_observed
    group by
        outcomes.programme_id,
        outcomes.outcome_id,
        outcomes.la_id,
        {{ quarter_start('outcomes.window_start_date') }}
),

rates as (
    select
        *,
        numerator_sum / nullif(denominator_count, 0) as rate,
        greatest(
            square_sum / nullif(denominator_count, 0)
            - (numerator_sum / nullif(denominator_count, 0)) * (numerator_sum / nullif(denominator_count, 0)),
            0
        ) as variance
    from cells
),

quarters as (
    select
        rates.programme_id,
        rates.outcome_id,
        rates.quarter_start_date,
        avg(rates.rate) as mean_rate,
        stddev_samp(rates.rate) as spread
    from rates
    inner join {{ ref('programmes') }} as programmes on rates.programme_id = programmes.programme_id
    where rates.denominator_count >= programmes.matching_minimum_children
    group by rates.programme_id, rates.outcome_id, rates.quarter_start_date
),

-- The mean and the spread of a quarter are those of LAs with enough children: the share of a handful of children
-- would decide the scale for all (DECISIONS D16).
-- Standardised within the quarter over all eligible LAs: a change of measurement that meets all drops out
-- (FV.MATCH.2).
standardised as (
    select
        rates.*,
        (rates.rate - quarters.mean_rate) / nullif(quarters.spread, 0) as standardised_value,
        rates.variance / nullif(rates.denominator_count, 0)
        / nullif(quarters.spread * quarters.spread, 0) as standardised_variance
    from rates
    inner join quarters
        on
            rates.programme_id = quarters.programme_id
            and rates.outcome_id = quarters.outcome_id
            and rates.quarter_start_date = quarters.quarter_start_date
)

-- A change needs the quarter right before it; its sampling error is that of two independent shares.
select
    this_quarter.programme_id,
    this_quarter.outcome_id,
    this_quarter.la_id,
    this_quarter.quarter_start_date,
    this_quarter.numerator_sum as numerator,
    this_quarter.denominator_count,
    this_quarter.rate as value,
    this_quarter.standardised_value,
    sqrt(this_quarter.standardised_variance) as value_standard_error,
    this_quarter.standardised_value - last_quarter.standardised_value as standardised_change,
    sqrt(this_quarter.standardised_variance + last_quarter.standardised_variance) as change_standard_error,
    areas.is_treatment_la,
    areas.is_matching_candidate
from standardised as this_quarter
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on this_quarter.programme_id = areas.programme_id and this_quarter.la_id = areas.la_id
left join standardised as last_quarter
    on
        this_quarter.programme_id = last_quarter.programme_id
        and this_quarter.outcome_id = last_quarter.outcome_id
        and this_quarter.la_id = last_quarter.la_id
        and this_quarter.quarter_start_date = {{ add_months('last_quarter.quarter_start_date', 3) }}
