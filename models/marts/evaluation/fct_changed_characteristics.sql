select
    la_id,
    field,
    child_count,
    cast(changed_count as bigint) as changed_count,
    cast(changed_in_la_count as bigint) as changed_in_la_count,
    100 * cast(changed_count as {{ type_double() }}) / nullif(child_count, 0) as changed_pct
from {{ ref('int_children__changed_characteristics') }}
