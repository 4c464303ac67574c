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
