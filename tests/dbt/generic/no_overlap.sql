{#- Half-open intervals of one key do not overlap; an open one ends never. -#}
{% test no_overlap(model, key, start, end) %}
    with ordered as (
        select
            {{ key }},
            {{ start }} as start_date,
            {{ end }} as end_date,
            lead({{ start }}) over (partition by {{ key }} order by {{ start }}) as next_start_date
        from {{ model }}
    )

    select * from ordered
    where
        (next_start_date is not null and (end_date is null or end_date > next_start_date))
        or end_date <= start_date
{% endtest %}
