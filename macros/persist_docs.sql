{#-
  Comments on a relation and its columns in one statement, without asking the catalogue first which columns there are: a
  description of a column that a model lacks stops the build instead of being dropped in silence.
-#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) %}
  {%- set comments = [] -%}
  {%- if for_relation and config.persist_relation_docs() and model.description -%}
    {%- do comments.append(alter_relation_comment(relation, model.description)) -%}
  {%- endif -%}
  {%- if for_columns and config.persist_column_docs() -%}
    {%- for column in model.columns.values() if column.description -%}
      {%- do comments.append(
        'comment on column ' ~ relation ~ '.' ~ column.name ~ ' is ' ~ duckdb_escape_comment(column.description)
      ) -%}
    {%- endfor -%}
  {%- endif -%}
  {%- if comments -%}{% do run_query(comments | join(';\n')) %}{%- endif -%}
{% endmacro %}
