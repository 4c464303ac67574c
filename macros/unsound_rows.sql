{#- The rows of a relation with which something is wrong, and what, for the test sound_rows. -#}
{% macro unsound_rows(model, key, never_null, one_of, found_in) -%}
  {%- set key = listed(key) -%}
  {%- set problems = {} -%}
  {%- for column in listed(never_null) -%}
    {%- do problems.update({column ~ ' is null': column ~ ' is empty'}) -%}
  {%- endfor -%}
  {%- for column, values in one_of.items() -%}
    {%- do problems.update({
      column ~ " not in ('" ~ listed(values) | join("', '") ~ "')": column ~ ' has a value that is not listed for it'
    }) -%}
  {%- endfor -%}
  {%- set shown = (key | join(', ') ~ ',') if key else '' -%}
  {%- set parts = [] -%}
  {%- if key -%}
    {%- do parts.append(
      'select ' ~ shown ~ " 'more than one row' as problem from " ~ model ~ ' group by ' ~ key | join(', ')
      ~ ' having count(*) > 1'
    ) -%}
  {%- endif -%}
  {%- if problems -%}
    {%- set cases = [] -%}
    {%- for condition, problem in problems.items() -%}
      {%- do cases.append('when ' ~ condition ~ " then '" ~ problem ~ "'") -%}
    {%- endfor -%}
    {%- do parts.append(
      'select ' ~ shown ~ ' case ' ~ cases | join(' ') ~ ' end as problem from ' ~ model
      ~ ' where ' ~ problems | join(' or ')
    ) -%}
  {%- endif -%}
  {%- for column, place in found_in.items() -%}
    {%- do parts.append(
      'select ' ~ shown ~ " '" ~ column ~ ' is not found in ' ~ place.to.identifier ~ "' as problem from " ~ model
      ~ ' as here where ' ~ column ~ ' is not null and not exists (select 1 from ' ~ place.to
      ~ ' as there where there.' ~ place.field ~ ' = here.' ~ column ~ ')'
    ) -%}
  {%- endfor -%}
  {{ parts | join('\n    union all\n    ') }}
{%- endmacro %}

{#- The items of a text; dbt makes a tuple of numbers parted by commas, and a number of one. -#}
{% macro listed(items) -%}
  {%- if items is string -%}
    {{ return(items.split(', ') if items else []) }}
  {%- endif -%}
  {{ return(items if items is iterable else [items]) }}
{%- endmacro %}
