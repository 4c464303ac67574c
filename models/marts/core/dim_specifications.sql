select
    specification_id,
    outcome_id,
    label,
    model,
    weights,
    treatment,
    reading_id,
    children,
    missing_covariates,
    matching_window,
    is_primary,
    clause
from {{ ref('specifications') }}
