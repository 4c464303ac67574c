{{ config(materialized='table') }}

-- Rules run down the rows: how many things each return has to which a rule applies, and how many break it.
{% set rules_of = dfe_rules() %}
with
{% for model, rules in rules_of.items() %}
{{ model }}__counts as (
    select
        la_code,
        return_year,
        {% for rule in rules %}
        count(rule_{{ rule | lower }}) as checked_{{ rule | lower }},
        sum(case when rule_{{ rule | lower }} then 1 else 0 end) as broken_{{ rule | lower }},
        {% endfor %}
        count(*) as thing_count
    from {{ ref(model) }}
    group by la_code, return_year
),

{{ model }}__list as (
    {% for rule in rules %}
    select '{{ rule }}' as rule
    {{ 'union all' if not loop.last }}
    {% endfor %}
),
{% endfor %}
counted as (
    {% for model, rules in rules_of.items() %}
    select
        listed.rule,
        counts.la_code,
        counts.return_year,
        case listed.rule
            {% for rule in rules %}
            when '{{ rule }}' then counts.checked_{{ rule | lower }}
            {% endfor %}
        end as checked_count,
        case listed.rule
            {% for rule in rules %}
            when '{{ rule }}' then counts.broken_{{ rule | lower }}
            {% endfor %}
        end as breach_count
    from {{ model }}__counts as counts
    cross join {{ model }}__list as listed
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    counted.rule,
    areas.la_id,
    counted.la_code,
    counted.return_year,
    cast(counted.checked_count as bigint) as checked_count,
    cast(counted.breach_count as bigint) as breach_count
from counted
inner join {{ ref('int_programmes__continuing_areas') }} as areas on counted.la_code = areas.la_code
where counted.checked_count > 0
