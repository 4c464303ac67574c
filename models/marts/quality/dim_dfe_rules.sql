select
    rule,
    collection,
    grain,
    severity,
    statement,
    treatment,
    handling,
    cast(tolerated_pct as {{ type_double() }}) as tolerated_pct,
    tolerance_reason,
    section,
    clause
from {{ ref('dfe_rules') }}
