-- FV.OUT.S1: a child protection plan starts in the window, in whichever LA.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'cpp_start'
),

-- The first start from the anchor's day on, once for all readings: a window holds a start if it holds the first.
starts as (
    select
        anchors.anchor_id,
        min(plans.cpp_start_date) as first_event_date
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_spells__child_protection_plans') }} as plans
        on anchors.child_key = plans.child_key and plans.cpp_start_date >= anchors.anchor_date
    group by anchors.anchor_id
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    case when starts.anchor_id is not null then 1 else 0 end as event_value,
    starts.first_event_date,
    true as is_eligible,
    true as is_measured
from windows
left join starts
    on windows.anchor_id = starts.anchor_id and windows.window_end_date >= starts.first_event_date
