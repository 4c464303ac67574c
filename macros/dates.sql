{#- Month arithmetic exists once: a day that the target month lacks becomes its last day (FV.* note on windows). -#}
{% macro add_months(day, months) -%}
  {{ return(adapter.dispatch('add_months', 'sfpc')(day, months)) }}
{%- endmacro %}

{% macro default__add_months(day, months) -%}
  cast({{ day }} + ({{ months }}) * interval '1 month' as date)
{%- endmacro %}

{% macro spark__add_months(day, months) -%}
  add_months({{ day }}, {{ months }})
{%- endmacro %}

{% macro add_days(day, days) -%}
  {{ return(adapter.dispatch('add_days', 'sfpc')(day, days)) }}
{%- endmacro %}

{% macro default__add_days(day, days) -%}
  ({{ day }} + ({{ days }}))
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
  date_add({{ day }}, {{ days }})
{%- endmacro %}

{% macro month_start(day) -%}
  cast(date_trunc('month', {{ day }}) as date)
{%- endmacro %}

{% macro quarter_start(day) -%}
  cast(date_trunc('quarter', {{ day }}) as date)
{%- endmacro %}

{#- Last day of the month of a day. -#}
{% macro month_end(day) -%}
  {{ add_days(add_months(month_start(day), 1), -1) }}
{%- endmacro %}

{#- The return year of a day: the calendar year of the 31 March that ends its financial year (FV.PROG.4). -#}
{% macro return_year(day) -%}
  cast(extract(year from {{ day }}) + case when extract(month from {{ day }}) >= 4 then 1 else 0 end as integer)
{%- endmacro %}

{#- 31 March of a return year. -#}
{% macro return_year_end(year) -%}
  make_date({{ year }}, 3, 31)
{%- endmacro %}

{#- A return year as its label: 2022 is 2021/22. -#}
{% macro financial_year_label(year) -%}
  cast({{ year }} - 1 as {{ dbt.type_string() }}) || '/'
  || right(cast({{ year }} as {{ dbt.type_string() }}), 2)
{%- endmacro %}

{#- The year in which the school year of a day ends: 1 September starts a new one. -#}
{% macro school_year(day) -%}
  cast(extract(year from {{ day }}) + case when extract(month from {{ day }}) >= 9 then 1 else 0 end as integer)
{%- endmacro %}

{#- Months since year 0 of the month of a day; the unit in which ages are known (FV.SAMPLE.1). -#}
{% macro month_number(day) -%}
  cast(extract(year from {{ day }}) * 12 + extract(month from {{ day }}) - 1 as integer)
{%- endmacro %}

{#- First day of a month given by its number. -#}
{% macro month_from_number(number) -%}
  {{ add_months("cast('1900-01-01' as date)", "(" ~ number ~ " - 22800)") }}
{%- endmacro %}

{#- 1 September before the calendar year in which a school year ends. -#}
{% macro school_year_start(year) -%}
  make_date({{ year }} - 1, 9, 1)
{%- endmacro %}

{#- A day after every other, for an interval that is still open. -#}
{% macro far_future() -%}
  cast('9999-12-31' as date)
{%- endmacro %}

{#- Days from one day to a later one: the first counts, the last does not. -#}
{% macro days_between(first_day, last_day) -%}
  {{ return(adapter.dispatch('days_between', 'sfpc')(first_day, last_day)) }}
{%- endmacro %}

{% macro default__days_between(first_day, last_day) -%}
  ({{ last_day }} - {{ first_day }})
{%- endmacro %}

{% macro spark__days_between(first_day, last_day) -%}
  datediff({{ last_day }}, {{ first_day }})
{%- endmacro %}
