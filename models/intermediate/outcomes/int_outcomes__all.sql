{{ config(materialized='table') }}

-- The long union of the outcome models: one row per window. An outcome that is not fully observed has no value.
{% set outcome_models = ['int_outcomes__became_looked_after'] %}

with united as (
    {%- for model in outcome_models %}
    select
        window_id,
        outcome_id,
        event_value,
        first_event_date
    from {{ ref(model) }}
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
)

select
    windows.window_id,
    windows.anchor_id,
    windows.cohort,
    windows.programme_id,
    windows.outcome_id,
    windows.child_id,
    windows.la_id,
    windows.window_start_date,
    windows.window_end_date,
    windows.is_in_sample,
    windows.is_fully_observed,
    case when windows.is_fully_observed then united.event_value end as outcome_value,
    united.first_event_date
from {{ ref('int_cohort__outcome_windows') }} as windows
inner join united on windows.window_id = united.window_id
