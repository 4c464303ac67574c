{#- Completed years within the programme's ages; a child whose age is not known is not of age (FV.SAMPLE.1). -#}
{% macro is_of_age(age_months, programmes) -%}
  coalesce(
    {{ age_months }} >= {{ programmes }}.minimum_age_years * 12
    and {{ age_months }} < ({{ programmes }}.maximum_age_years + 1) * 12,
    false
  )
{%- endmacro %}

{#- Which referrals count: all, those with further action, or episodes of need only (FV.SAMPLE.6). -#}
{% macro is_on_referral_basis(referrals, programmes) -%}
  case {{ programmes }}.referral_basis
    when 'without_nfa' then not {{ referrals }}.is_nfa
    when 'episodes_of_need' then {{ referrals }}.is_episode_of_need
    else true
  end
{%- endmacro %}

{#- The coarsened covariates of exact matching, in the order of the protocol (FV.CEM.2 to FV.CEM.8). -#}
{% macro cem_covariates() -%}
  {{ return(['gender_group', 'age_band', 'ethnic_group', 'is_disabled', 'fsm_group', 'is_uasc', 'has_previous_cpp']) }}
{%- endmacro %}

{#- Last day of an outcome's window from a day: that of the last school term it takes, else so many months later. -#}
{% macro follow_up_end(day, readings, terms) -%}
  coalesce({{ terms }}.last_date, {{ add_months(day, readings ~ '.window_months') }})
{%- endmacro %}

{#- Completed months of a child's life on 31 August before a school year, which is named by the year it ends in. -#}
{% macro age_in_august_months(school_year, children) -%}
  (({{ school_year }} - 1) * 12 + 7 - {{ children }}.birth_month_number)
{%- endmacro %}

{#- What an outcome keeps of its window: the columns that all outcomes have alike. -#}
{% macro window_columns() -%}
  {{ return([
    'window_id', 'anchor_id', 'child_key', 'reading_number', 'window_start_date', 'window_end_date', 'days_end_date',
    'observable_from_date', 'is_in_sample', 'is_fully_observed'
  ]) }}
{%- endmacro %}
