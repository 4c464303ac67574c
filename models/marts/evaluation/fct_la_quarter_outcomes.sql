-- A change needs the quarter right before it; its sampling error is that of two independent shares. Quarters that only
-- an alternative window holds stand in fct_matching_trends.
with standardised as (
    select * from {{ ref('int_outcomes__la_quarters') }}
    where is_in_default_window
)

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
