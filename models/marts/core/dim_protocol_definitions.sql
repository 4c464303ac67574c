-- Which models answer for a clause is read from the models themselves, so the register cannot drift from the code.
{% set homes = {} %}
{% set tests = {} %}
{% if execute %}
{% for node in graph.nodes.values() if node.resource_type == 'model' %}
{% for clause in node.config.get('meta', {}).get('protocol_ref', []) %}
{% do homes.setdefault(clause, []).append(node.name) %}
{% endfor %}
{% endfor %}
{% for test in graph.nodes.values() if test.resource_type == 'test' %}
{% for parent in test.depends_on.nodes if parent.startswith('model.') %}
{% for clause in graph.nodes[parent].config.get('meta', {}).get('protocol_ref', []) %}
{% do tests.update({clause: tests.get(clause, 0) + 1}) %}
{% endfor %}
{% endfor %}
{% endfor %}
{% endif %}

with homes as (
    select
        cast(null as {{ dbt.type_string() }}) as clause,
        cast(null as {{ dbt.type_string() }}) as model_names,
        cast(null as integer) as data_test_count
    where false
    {% for clause, models in homes.items() %}
    union all
    select
        '{{ clause }}' as clause,
        '{{ models | sort | join(", ") }}' as model_names,
        {{ tests.get(clause, 0) }} as data_test_count
    {% endfor %}
)

select
    clauses.clause,
    clauses.topic,
    clauses.wording,
    clauses.status,
    clauses.home,
    homes.model_names,
    coalesce(homes.data_test_count, 0) as data_test_count
from {{ ref('protocol_clauses') }} as clauses
left join homes on clauses.clause = homes.clause
