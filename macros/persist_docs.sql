{#-
  Comments on columns without asking the catalogue first which columns there are: marts have contracts, and a
  description of a column that a model lacks stops the build instead of being dropped in silence.
-#}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
  {%- for column in column_dict.values() %}
    comment on column {{ relation }}.{{ column['name'] }} is {{ duckdb_escape_comment(column['description']) }};
  {%- endfor %}
{% endmacro %}
