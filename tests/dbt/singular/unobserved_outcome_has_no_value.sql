{% set columns = {
    'became_looked_after': 'has_become_looked_after',
    'started_cpp': 'has_started_cpp',
    'plan_days': 'plan_days',
    'kinship_care': 'is_kinship_first_placement',
    'reunified': 'is_reunified',
    'unauthorised_absence': 'unauthorised_absence_pct'
} %}

-- FV.SAMPLE.5: an outcome has a value in its sample where it is fully observed, and nowhere else.
{% for outcome, column in columns.items() -%}
select
    programme_id,
    child_id,
    '{{ outcome }}' as outcome_id
from {{ ref('fct_child_outcomes') }}
where (is_in_sample__{{ outcome }} and is_fully_observed__{{ outcome }}) <> ({{ column }} is not null)
union all
{% endfor -%}
select
    programme_id,
    child_id,
    outcome_id
from {{ ref('fct_outcome_values') }}
where (is_in_sample and is_fully_observed) <> (outcome_value is not null)
