select
    programme_id,
    outcome_id,
    design,
    estimate,
    standard_error,
    degrees_of_freedom,
    unit,
    do_assumptions_hold,
    source,
    clause
from {{ ref('external_estimates') }}
