-- FV.OUT.P: a period of care starts in the window. It need not come from that referral; respite never counts.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'care_start'
),

-- The first start from the anchor's day on, once for all readings: a window holds a start if it holds the first.
starts as (
    select
        anchors.anchor_id,
        min(periods.care_start_date) as first_event_date
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_spells__care_periods') }} as periods
        on anchors.child_key = periods.child_key and periods.care_start_date >= anchors.anchor_date
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
