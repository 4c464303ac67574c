select
    specification_id,
    outcome_id,
    label,
    model,
    weights,
    is_primary,
    clause
from {{ ref('specifications') }}
