-- Which regressions are run for which outcome, with which weights, and under which clause?
select
    outcomes.outcome_id,
    outcomes.label as outcome,
    outcomes.unit,
    outcomes.is_primary as is_primary_outcome,
    outcomes.status,
    specifications.label as regression,
    specifications.model,
    specifications.weights,
    specifications.is_primary as is_primary_regression,
    specifications.clause
from {{ ref('dim_outcomes') }} as outcomes
left join {{ ref('dim_specifications') }} as specifications on outcomes.outcome_id = specifications.outcome_id
order by outcomes.outcome_id, specifications.specification_id
