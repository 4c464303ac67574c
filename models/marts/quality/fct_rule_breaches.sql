select
    counts.rule,
    rules.collection,
    counts.la_id,
    counts.la_code,
    counts.return_year,
    counts.checked_count,
    counts.breach_count,
    100 * cast(counts.breach_count as {{ type_double() }}) / nullif(counts.checked_count, 0) as breach_pct,
    cast(rules.tolerated_pct as {{ type_double() }}) as tolerated_pct
from {{ ref('int_quality__rule_counts') }} as counts
inner join {{ ref('dfe_rules') }} as rules on counts.rule = rules.rule
