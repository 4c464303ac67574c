-- How much does an outcome depend on how it is read: window, sample, censoring at 18, planned returns (FV.OUT.*)?
select
    programme_id,
    outcome_id,
    reading_id,
    count(*) as children,
    avg(outcome_value) as mean_value
from {{ ref('fct_outcome_values') }}
where is_in_sample and is_fully_observed
group by programme_id, outcome_id, reading_id, is_default_reading
order by programme_id asc, outcome_id asc, is_default_reading desc, reading_id asc
