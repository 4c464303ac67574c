select
    specification_id,
    outcome_id,
    label,
    model,
    weights,
    treatment,
    reading_id,
    is_primary,
    clause
from {{ ref('specifications') }}
