select
    source_kind,
    field,
    la_id,
    la_code,
    return_year,
    row_count,
    missing_count,
    100 * cast(missing_count as {{ type_double() }}) / nullif(row_count, 0) as missing_pct
from {{ ref('int_quality__missing_fields') }}
