{#- As many rows as the other relation has (that meet the condition): nothing lost, nothing doubled in a join. -#}
{% test same_row_count(model, other, other_condition='true') %}
    select
        here.row_count as rows_here,
        there.row_count as rows_there
    from (select count(*) as row_count from {{ model }}) as here
    cross join (select count(*) as row_count from {{ other }} where {{ other_condition }}) as there
    where here.row_count <> there.row_count
{% endtest %}
