-- How much of what sets LAs apart in a quarter is sampling error, by outcome, in the default window and in those that
-- only alternatives look at?
select
    outcome_id,
    is_in_default_window,
    count(*) as la_quarter_count,
    count(standardised_value) as standardised_count,
    round(avg(standardised_variance), 3) as mean_error_variance
from {{ ref('fct_matching_trends') }}
group by outcome_id, is_in_default_window
order by outcome_id, is_in_default_window
