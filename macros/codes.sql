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

{#- Whether a text may hold a blank: a space, or a character of several bytes, as the blank that spreadsheets paste. -#}
{% macro may_hold_blank(column) -%}
  ({{ column }} like '% %' or bit_length({{ column }}) > 8 * length({{ column }}))
{%- endmacro %}

{#- Without surrounding blanks. Few references have any, and to look is cheaper than to trim. -#}
{% macro trimmed(column) -%}
  case when {{ may_hold_blank(column) }} then trim({{ column }}) else {{ column }} end
{%- endmacro %}

{#-
  A child code as text: surrounding blanks and the '.0' of a spreadsheet removed, upper case (trap 6). Most codes have
  nothing to remove, and to look is cheaper than to replace.
-#}
{% macro tidy_child_code(column) -%}
  nullif(upper(
    case
      when {{ may_hold_blank(column) }} or {{ column }} like '%|%' or {{ column }} like '%.0'
        then trim(both '| ' from replace(trim({{ column }}) || '|', '.0|', '|'))
      else {{ column }}
    end
  ), '')
{%- endmacro %}

{#- A pupil reference; UN1 to UN7 say why there is none and never link two children (trap 18). -#}
{% macro tidy_pupil_code(column) -%}
  case
    when
      {% for text in not_a_value() -%}
      upper({{ trimmed(column) }}) <> '{{ text }}' and{{ ' ' }}
      {%- endfor -%}
      upper({{ trimmed(column) }}) not like 'UN_'
      then upper({{ trimmed(column) }})
  end
{%- endmacro %}

{#- Yes and no in the spellings that returns use; anything else is unknown. -#}
{% macro tidy_flag(column) -%}
  case
    when lower(trim({{ column }})) in ('1', 'true', 'y', 'yes') then true
    when lower(trim({{ column }})) in ('0', 'false', 'n', 'no') then false
  end
{%- endmacro %}

{#- Columns as one text, a tilde for null. -#}
{% macro joined_text(columns) -%}
  {%- for column in columns -%}
  coalesce(cast({{ column }} as {{ dbt.type_string() }}), '~'){{ " || '|' || " if not loop.last }}
  {%- endfor -%}
{%- endmacro %}

{#- Twelve digits: as many as the engine keeps in a row itself, and enough for some thousand combinations. -#}
{% macro surrogate_key(columns) -%}
  left(md5({{ joined_text(columns) }}), 12)
{%- endmacro %}

{#-
  The key of what a text names, in whole numbers: the first fifteen hexadecimal digits of its md5, the same on every
  engine. Joined and sorted in a fraction of the time of a text. Of 60 bits: two of ten million texts share a key in one
  build of twenty thousand, and stop it (tests/dbt/singular/keys_stand_for_one_child, the key of int_spells__referrals).
-#}
{% macro key_of(text) -%}
  {{ return(adapter.dispatch('key_of', 'sfpc')(text)) }}
{%- endmacro %}

{% macro default__key_of(text) -%}
  cast('0x' || left(md5({{ text }}), 15) as bigint)
{%- endmacro %}

{% macro postgres__key_of(text) -%}
  cast(cast('x0' || left(md5({{ text }}), 15) as bit(64)) as bigint)
{%- endmacro %}

{% macro spark__key_of(text) -%}
  cast(conv(left(md5({{ text }}), 15), 16, 10) as bigint)
{%- endmacro %}

{#- The id that a key has in marts: its digits as text, which no spreadsheet or statistics package rounds. -#}
{% macro id_of(key) -%}
  {{ return(adapter.dispatch('id_of', 'sfpc')(key)) }}
{%- endmacro %}

{% macro default__id_of(key) -%}
  printf('%015x', {{ key }})
{%- endmacro %}

{% macro postgres__id_of(key) -%}
  lpad(to_hex({{ key }}), 15, '0')
{%- endmacro %}

{% macro spark__id_of(key) -%}
  lpad(lower(hex({{ key }})), 15, '0')
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
