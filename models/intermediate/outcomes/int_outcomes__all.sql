{{ config(materialized='table') }}

-- The long union of the outcome models: one row per window. An outcome that is not fully observed has no value.
-- Who the window belongs to stands with its anchor (int_cohort__anchors).
{% set outcome_models = [
    'int_outcomes__became_looked_after', 'int_outcomes__started_cpp', 'int_outcomes__plan_days',
    'int_outcomes__kinship_care', 'int_outcomes__reunified', 'int_outcomes__unauthorised_absence'
] %}

with united as (
    {%- for model in outcome_models %}
    select
        {%- for column in window_columns() %}
        {{ column }},
        {%- endfor %}
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
    anchor_id,
    reading_number,
    window_end_date,
    is_eligible,
    is_in_sample and coalesce(is_eligible, false) as is_in_sample,
    is_fully_observed and is_measured as is_fully_observed,
    case when is_fully_observed and is_measured then event_value end as outcome_value,
    first_event_date,
    case
        when observable_from_date is null or observable_from_date <= window_start_date
            then cast(1 as {{ type_double() }})
        when observable_from_date >= days_end_date then 0
        else
            cast({{ days_between('observable_from_date', 'days_end_date') }} as {{ type_double() }})
            / nullif({{ days_between('window_start_date', 'days_end_date') }}, 0)
    end as observable_share
from united
