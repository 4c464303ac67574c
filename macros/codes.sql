{#- What databases and spreadsheets write where there is no value, or more than one (trap 21). -#}
{% macro not_a_value() -%}
  {{ return(['', 'NULL', 'N/A', '#N/A', '#MULTIVALUE']) }}
{%- endmacro %}

{#- Text as the sector writes it: blanks are nothing, codes are upper case. One comparison each: DuckDB makes a join of a list. -#}
{% macro tidy_code(column) -%}
  case
    when
      {% for text in not_a_value() -%}
      upper(trim({{ column }})) <> '{{ text }}'{{ ' and ' if not loop.last }}
      {%- endfor %}
      then upper(trim({{ column }}))
  end
{%- endmacro %}

{#- A child code as text: surrounding blanks and the '.0' of a spreadsheet removed, upper case (trap 6). -#}
{% macro tidy_child_code(column) -%}
  nullif(upper(trim(both '| ' from replace(trim({{ column }}) || '|', '.0|', '|'))), '')
{%- endmacro %}

{#- A pupil reference; UN1 to UN7 say why there is none and never link two children (trap 18). -#}
{% macro tidy_pupil_code(column) -%}
  case
    when
      {% for text in not_a_value() -%}
      upper(trim({{ column }})) <> '{{ text }}' and{{ ' ' }}
      {%- endfor -%}
      upper(trim({{ column }})) not like 'UN_'
      then upper(trim({{ column }}))
  end
{%- endmacro %}

{#- Yes and no in the spellings that returns use; anything else is unknown. -#}
{% macro tidy_flag(column) -%}
  case
    when lower(trim({{ column }})) in ('1', 'true', 'y', 'yes') then true
    when lower(trim({{ column }})) in ('0', 'false', 'n', 'no') then false
  end
{%- endmacro %}

{% macro surrogate_key(columns) -%}
  md5(
    {%- for column in columns %}
    coalesce(cast({{ column }} as {{ dbt.type_string() }}), '~'){{ " || '|' || " if not loop.last }}
    {%- endfor %}
  )
{%- endmacro %}

{#- 64 bits on every engine. -#}
{% macro type_double() -%}
  {{ return(adapter.dispatch('type_double', 'sfpc')()) }}
{%- endmacro %}

{% macro default__type_double() -%}
  double
{%- endmacro %}

{% macro postgres__type_double() -%}
  double precision
{%- endmacro %}

{#- The values of a group in one text, in an order; dbt's own macro knows no order on Spark. -#}
{% macro ordered_list(column, separator, order_column) -%}
  {{ return(adapter.dispatch('ordered_list', 'sfpc')(column, separator, order_column)) }}
{%- endmacro %}

{% macro default__ordered_list(column, separator, order_column) -%}
  {{ dbt.listagg(column, "'" ~ separator ~ "'", 'order by ' ~ order_column) }}
{%- endmacro %}

{% macro spark__ordered_list(column, separator, order_column) -%}
  array_join(
    transform(
      sort_array(collect_list(struct({{ order_column }} as place, {{ column }} as listed))), item -> item.listed
    ),
    '{{ separator }}'
  )
{%- endmacro %}
