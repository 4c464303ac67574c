-- Every mean that some window of matching may look at; fct_la_quarter_outcomes has those of the default window.
select
    trends.programme_id,
    trends.outcome_id,
    trends.la_id,
    trends.quarter_start_date,
    trends.numerator_sum as numerator,
    trends.denominator_count,
    trends.rate as value,
    trends.rate_variance as sampling_variance,
    trends.standardised_value,
    trends.standardised_variance,
    trends.is_in_default_window,
    areas.is_treatment_la,
    areas.is_matching_candidate
from {{ ref('int_outcomes__la_quarters') }} as trends
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on trends.programme_id = areas.programme_id and trends.la_id = areas.la_id
