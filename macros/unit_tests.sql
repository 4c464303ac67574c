{#-
  The rows of a unit test's input as SQL, in place of dbt's own macro, which casts every column of every row that a case
  does not name: over a quarter of the time of the unit tests. Columns that a row does not name are null.
-#}
{% macro get_fixture_sql(rows, column_name_to_data_types) %}
  {%- set types = column_types('from ' ~ this) -%}
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
      {%- do values.update({name | lower: case_value(name | lower, value, types[name | lower])}) -%}
    {%- endfor %}
  union all
  select {% for name in types %}{{ values.get(name, 'null') }}{{ ', ' if not loop.last }}{% endfor %}
  {%- endfor -%}
{% endmacro %}

{#- The rows that a unit test expects, in place of dbt's own macro: names of children stand for their keys here too. -#}
{% macro get_expected_sql(rows, column_name_to_data_types, column_name_to_quoted) %}
  {%- for row in rows %}
  {{ 'union all ' if not loop.first }}select
    {%- for name, value in row.items() %}
      {%- if name | lower not in column_name_to_data_types -%}
        {{ exceptions.raise_compiler_error(
          'A unit test expects the column ' ~ name ~ ', which its model does not have. It has: '
          ~ column_name_to_data_types | join(', ')
        ) }}
      {%- endif %}
      {{ case_value(name | lower, value, column_name_to_data_types[name | lower]) }} as {{ name | lower }}
      {{- ',' if not loop.last }}
    {%- endfor %}
  {%- else %}
  select * from dbt_internal_unit_test_actual where 1 = 0
  {%- endfor %}
{% endmacro %}

{#-
  A value of a unit test as SQL. Children, referrals, periods of care and anchors are named there: a name stands for the
  key that key_of makes of it, and for the id that marts give for that key; a number stands for itself.
-#}
{% macro case_value(column, value, type) -%}
  {%- set keys = ['child_key', 'referral_key', 'care_period_key', 'anchor_id'] -%}
  {%- set ids = ['child_id', 'referral_id', 'care_period_id'] -%}
  {%- if value is none -%}
    cast(null as {{ type }})
  {%- elif value is string and column in keys + ids -%}
    {%- set key = value | int if value.isdigit() else local_md5(value)[:15] | int(0, 16) -%}
    {{ key if column in keys else "'%015x'" | format(key) }}
  {%- elif value is string -%}
    cast('{{ value | replace("'", "''") }}' as {{ type }})
  {%- else -%}
    cast({{ value }} as {{ type }})
  {%- endif -%}
{%- endmacro %}
