select
    assumption_id,
    design,
    wording,
    evidence,
    is_gate,
    clause
from {{ ref('design_assumptions') }}
