{#-
  The one door between a landing table and staging (DP.3): the rows of children on the subject register
  (erased, objected, restricted, withdrawn, opted out) stay outside. A pupil's school rows stay outside when
  the register names the pupil.
-#}
{% macro governed_source(source_name, table_name, key='la_child') -%}
  select landed.*
  from {{ source(source_name, table_name) }} as landed
  {% if key == 'la_child' -%}
  where not exists (
    select 1
    from {{ source('governance', 'subject_register') }} as register
    where register.la_code = landed.la_code and register.la_child_id = landed.la_child_id
  )
  {%- elif key == 'pupil' -%}
  where not exists (
    select 1
    from {{ source('governance', 'subject_register') }} as register
    where register.pupil_id = landed.pupil_id
  )
  {%- endif %}
{%- endmacro %}

{#- A build without landed tables stops with a sentence, not with a missing file. -#}
{% macro require_landing() -%}
  {%- if execute and target.type == 'duckdb' and flags.WHICH in ('build', 'run', 'test') -%}
    {%- set folder = var('landing_dir', env_var('SFPC_LANDING_DIR', 'data/landing')) -%}
    {%- set found = run_query("select count(*) from glob('" ~ folder ~ "/cin_records/*.parquet')") -%}
    {%- if found.columns[0].values()[0] == 0 -%}
      {{ exceptions.raise_compiler_error(
        "No landed tables in " ~ folder ~ ". Run `make extracts` and `sfpc land` (synthetic data), "
        ~ "or `sfpc land --extracts DIR` on extracts of your own."
      ) }}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}
