select
    outcome_id,
    clause,
    label,
    outcome_kind,
    outcome_column,
    unit,
    anchor,
    status,
    coalesce((
        select bool_or(listed.is_primary) from {{ ref('programme_outcomes') }} as listed
        where listed.outcome_id = definitions.outcome_id
    ), false) as is_primary
from {{ ref('outcomes') }} as definitions
