select
    programme_id,
    outcome_id,
    treatment_la_id,
    comparator_la_id,
    decision,
    reason,
    decided_by,
    decided_on,
    data_version
from {{ ref('la_match_decisions') }}
