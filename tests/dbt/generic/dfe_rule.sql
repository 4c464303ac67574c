{#-
  A validation rule of the DfE: fails where an LA's return breaks it more often than the rule's row tolerates
  (seed dfe_rules), among at least as many things as a share can be judged by (quality_minimum_count).
-#}
{% test dfe_rule(model, rule) %}
    select
        breaches.la_code,
        breaches.return_year,
        breaches.breach_count,
        breaches.checked_count,
        breaches.breach_pct,
        breaches.tolerated_pct
    from {{ model }} as breaches
    cross join {{ ref('int_quality__settings') }} as limits
    where
        breaches.rule = '{{ rule }}'
        and breaches.checked_count >= limits.quality_minimum_count
        and breaches.breach_pct > breaches.tolerated_pct
{% endtest %}
