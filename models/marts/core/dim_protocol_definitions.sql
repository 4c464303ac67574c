-- Which models answer for a clause is read from the models themselves, so the register cannot drift from the code. An
-- outcome of a programme that is planned has a row of its own under its clause (FV.PROG.5).
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
{% do tests.setdefault(clause, {}).update({test.unique_id: true}) %}
{% endfor %}
{% endfor %}
{% endfor %}
{% endif %}

with homes as (
    select
        cast(null as {{ dbt.type_string() }}) as clause,
        cast(null as {{ dbt.type_string() }}) as model,
        cast(null as integer) as tests
    where false
    {% for clause, models in homes.items() %}
    union all
    select
        '{{ clause }}' as clause,
        '{{ models | sort | join(", ") }}' as model,
        {{ tests.get(clause, {}) | length }} as tests
    {% endfor %}
)

select
    clauses.clause,
    clauses.topic,
    clauses.wording,
    clauses.status,
    clauses.home,
    homes.model,
    coalesce(homes.tests, 0) as tests
from {{ ref('protocol_clauses') }} as clauses
left join homes on clauses.clause = homes.clause
union all
select
    outcomes.clause || ':' || outcomes.outcome_id as clause,
    clauses.topic,
    programmes.programme_name || ': ' || outcomes.label || '; needs ' || outcomes.needs as wording,
    'planned' as status,
    'sql' as home,
    cast(null as {{ dbt.type_string() }}) as model,
    0 as tests
from {{ ref('planned_outcomes') }} as outcomes
inner join {{ ref('programmes') }} as programmes on outcomes.programme_id = programmes.programme_id
inner join {{ ref('protocol_clauses') }} as clauses on outcomes.clause = clauses.clause
