{#- The grain of a model: no two rows share the listed columns (nulls count as equal), none of never_null is empty. -#}
{% test unique_combination(model, columns, never_null=[]) %}
    select
        {{ columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
    {% if never_null %}
        union all
        select
            {{ columns | join(', ') }},
            1 as row_count
        from {{ model }}
        where {{ never_null | join(' is null or ') }} is null
    {% endif %}
{% endtest %}
