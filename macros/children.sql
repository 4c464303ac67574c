{#- The month of birth that a row states, in months since year 0; null where no child of its return can have it (A.5). -#}
{% macro birth_month_number(rows='') -%}
  {%- set of = rows ~ '.' if rows else '' -%}
  case
    when
      {{ of }}birth_year between {{ of }}return_year - 30 and {{ of }}return_year + 1
      and {{ of }}birth_month between 1 and 12
      then {{ of }}birth_year * 12 + {{ of }}birth_month - 1
  end
{%- endmacro %}

{#-
  The lowest month of birth in the latest return that states one, of the rows that meet the condition: the highest number
  made of the return and, below it, the month counted down.
-#}
{% macro latest_birth_month(condition) -%}
  100000 - mod(
    max(case
      when {{ condition }} and birth_month_number is not null then return_year * 100000 - birth_month_number
    end),
    100000
  )
{%- endmacro %}

{#- A census row says that its child is not born yet: an expected date, the flag, or January 1900 (A.5). -#}
{% macro says_unborn() -%}
  coalesce({{ tidy_flag('is_expected_birth') }}, false)
  or coalesce({{ tidy_flag('is_unborn') }}, false)
  or coalesce(birth_year = 1900 and birth_month = 1, false)
{%- endmacro %}

{#-
  The child among several under one code whose row this is; for any other code there is no match (DECISIONS D30).
  Rows without a birth of their own, as episodes of care, leave month and unborn out.
-#}
{% macro join_shared_codes(rows, source_kind, month='0', unborn='false') -%}
  left join {{ ref('int_children__shared_codes') }} as shared_codes
    on
      {{ rows }}.la_code = shared_codes.la_code
      and {{ rows }}.la_child_id = shared_codes.la_child_id
      and {{ rows }}.return_year = shared_codes.return_year
      and {{ source_kind }} = shared_codes.source_kind
      and coalesce({{ month }}, 0) = shared_codes.stated_month_number
      and ({{ unborn }}) = shared_codes.is_unborn_report
{%- endmacro %}

{#- Every row finds its child: by LA code and child code, and by the owner where the code stands for several. -#}
{% macro join_identities(rows, source_kind, month='0', unborn='false') -%}
  {{ join_shared_codes(rows, source_kind, month, unborn) }}
  inner join {{ ref('int_children__identities') }} as identities
    on
      {{ rows }}.la_code = identities.la_code
      and {{ rows }}.la_child_id = identities.la_child_id
      and coalesce(shared_codes.owner_month_number, 0) = identities.owner_month_number
{%- endmacro %}
