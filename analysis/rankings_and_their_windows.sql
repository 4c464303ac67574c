-- By which distances and in which windows are candidates ranked, and which is the default?
select
    variant_id,
    label,
    metric,
    window_label,
    placebo_months,
    is_default,
    clause
from {{ ref('dim_matching_variants') }}
order by variant_id
