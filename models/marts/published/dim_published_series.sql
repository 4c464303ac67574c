select
    outcomes.outcome_id,
    outcomes.label as outcome_label,
    series.series_id,
    series.clause,
    series.label,
    series.frequency,
    series.rate_base,
    series.is_count,
    series.is_estimated,
    series.minimum_periods,
    series.unit,
    series.stands_for,
    series.cannot_say
from {{ ref('published_series') }} as series
left join {{ ref('outcomes') }} as outcomes on series.outcome_id = outcomes.outcome_id
