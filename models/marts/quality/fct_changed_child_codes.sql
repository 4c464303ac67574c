select
    la_id,
    return_year,
    code_count,
    linked_count,
    bridged_count,
    moved_count,
    100 * cast(linked_count as {{ type_double() }}) / nullif(code_count, 0) as linked_pct,
    100 * cast(bridged_count as {{ type_double() }}) / nullif(code_count, 0) as bridged_pct
from {{ ref('int_quality__child_code_bridges') }}
