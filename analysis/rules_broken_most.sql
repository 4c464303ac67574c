-- Which validation rules are broken most, where, and what becomes of the rows?
select
    rules.collection,
    rules.rule,
    rules.statement,
    sum(breaches.breach_count) as broken,
    round(100.0 * sum(breaches.breach_count) / nullif(sum(breaches.checked_count), 0), 2) as breach_pct,
    rules.treatment,
    rules.handling
from {{ ref('fct_rule_breaches') }} as breaches
inner join {{ ref('dim_dfe_rules') }} as rules on breaches.rule = rules.rule
group by rules.collection, rules.rule, rules.statement, rules.treatment, rules.handling
having sum(breaches.breach_count) > 0
order by broken desc, rules.collection asc, rules.rule asc
