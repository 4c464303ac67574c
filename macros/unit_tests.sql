{#-
  The rows of a unit test's input as SQL, in place of dbt's own macro, which casts every column of every row that a case
  does not name: over a quarter of the time of the unit tests. Columns that a row does not name are null.
-#}
{% macro get_fixture_sql(rows, column_name_to_data_types) %}
  {%- set types = {} -%}
  {%- for column in run_query('select column_name, column_type from (describe ' ~ this ~ ')').rows -%}
    {%- do types.update({column[0] | lower: column[1]}) -%}
  {%- endfor -%}
  select
    {%- for name, type in types.items() %} cast(null as {{ type }}) as {{ name }}{{ ',' if not loop.last }}{% endfor %}
  where 1 = 0
  {%- for row in rows %}
    {%- set unknown = row.keys() | map('lower') | reject('in', types) | list -%}
    {%- if unknown -%}
      {{ exceptions.raise_compiler_error(
        'A unit test gives columns that ' ~ this ~ ' does not have: ' ~ unknown | join(', ')
      ) }}
    {%- endif -%}
    {%- set values = {} -%}
    {%- for name, value in row.items() -%}
      {%- if value is string -%}
        {%- set literal = "'" ~ value | replace("'", "''") ~ "'" -%}
      {%- else -%}
        {%- set literal = 'null' if value is none else value -%}
      {%- endif -%}
      {%- do values.update({name | lower: 'cast(' ~ literal ~ ' as ' ~ types[name | lower] ~ ')'}) -%}
    {%- endfor %}
  union all
  select {% for name in types %}{{ values.get(name, 'null') }}{{ ', ' if not loop.last }}{% endfor %}
  {%- endfor -%}
{% endmacro %}
