{#-
  Tables and views of the build file, in place of dbt's own way, which builds beside the old relation and renames twice:
  nobody reads the build file while it is written. A statement that fails leaves the transaction, and so what was there.
-#}
{% materialization table, adapter='duckdb', supported_languages=['sql'] %}
  {{ return(replace_relation(this.incorporate(type='table'), create_table_as)) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb', supported_languages=['sql'] %}
  {{ return(replace_relation(this.incorporate(type='view'), create_view_as)) }}
{% endmaterialization %}

{#- A unit test; dbt's own way makes a table of no rows and drops it again to learn the types of the columns. -#}
{% materialization unit, adapter='duckdb' %}
  {%- set types = column_types(sql) -%}
  {%- set rows = config.get('expected_rows') -%}
  {%- set expected = config.get('expected_sql') or get_expected_sql(rows, types, none) -%}
  {%- set columns = (rows[0] if rows else types).keys() | map('lower') | list -%}
  {%- call statement('main', fetch_result=True) -%}
    {{ get_unit_test_sql(sql, expected, columns) }}
  {%- endcall -%}
  {{ return({'relations': []}) }}
{% endmaterialization %}

{#- The columns of a query in lower case, each with its type. -#}
{% macro column_types(query) %}
  {%- set types = {} -%}
  {%- for column in adapter.get_column_schema_from_query(query) -%}
    {%- do types.update({column.name | lower: column.dtype}) -%}
  {%- endfor -%}
  {{ return(types) }}
{% endmacro %}

{% macro replace_relation(relation, create_as) %}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {%- set existing = load_cached_relation(relation) -%}
  {%- call statement('main') -%}
    {%- if existing %}
    drop {{ existing.type }} {{ existing }};
    {%- endif %}
    {{ create_as(false, relation, sql) if relation.is_table else create_as(relation, sql) }}
  {%- endcall -%}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {%- do persist_docs(relation, model) -%}
  {%- do adapter.commit() -%}
  {{ return({'relations': [relation]}) }}
{% endmacro %}
