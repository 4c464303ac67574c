{{ config(materialized='table') }}

-- The long union of the outcome models: one row per window. An outcome that is not fully observed has no value.
{% set outcome_models = [
    'int_outcomes__became_looked_after', 'int_outcomes__started_cpp', 'int_outcomes__plan_days',
    'int_outcomes__kinship_care', 'int_outcomes__reunified', 'int_outcomes__unauthorised_absence'
] %}

with united as (
    {%- for model in outcome_models %}
    select
        window_id,
        cast(event_value as {{ type_double() }}) as event_value,
        first_event_date,
        is_eligible,
        is_measured
    from {{ ref(model) }}
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
)

select
    windows.window_id,
    windows.cohort,
    windows.anchor,
    windows.programme_id,
    windows.outcome_id,
    windows.reading_id,
    windows.is_default,
    windows.measure,
    windows.child_id,
    windows.la_id,
    windows.window_start_date,
    windows.window_end_date,
    windows.is_looked_after_at_anchor,
    united.is_eligible,
    windows.is_in_sample and coalesce(united.is_eligible, false) as is_in_sample,
    windows.is_fully_observed and united.is_measured as is_fully_observed,
    case when windows.is_fully_observed and united.is_measured then united.event_value end as outcome_value,
    united.first_event_date,
    case
        when windows.observable_from_date is null or windows.observable_from_date <= windows.window_start_date
            then cast(1 as {{ type_double() }})
        when windows.observable_from_date >= windows.days_end_date then 0
        else
            cast({{ days_between('windows.observable_from_date', 'windows.days_end_date') }} as {{ type_double() }})
            / nullif({{ days_between('windows.window_start_date', 'windows.days_end_date') }}, 0)
    end as observable_share
from {{ ref('int_cohort__outcome_windows') }} as windows
inner join united on windows.window_id = united.window_id
