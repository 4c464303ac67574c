select
    variants.variant_id,
    variants.window_id,
    variants.metric,
    variants.twin_correlation,
    variants.is_default,
    variants.label,
    windows.label as window_label,
    windows.placebo_months,
    variants.source,
    variants.clause
from {{ ref('matching_variants') }} as variants
inner join {{ ref('matching_windows') }} as windows on variants.window_id = windows.window_id
