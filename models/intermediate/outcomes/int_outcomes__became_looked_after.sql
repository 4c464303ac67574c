-- FV.OUT.P: a period of care starts in the window. It need not come from that referral; respite never counts.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'care_start'
),

starts as (
    select
        windows.window_id,
        min(periods.care_start_date) as first_event_date
    from windows
    inner join {{ ref('int_spells__care_periods') }} as periods
        on
            windows.child_id = periods.child_id
            and periods.care_start_date >= windows.window_start_date
            and periods.care_start_date <= windows.window_end_date
    group by windows.window_id
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    windows.window_id,
    case when starts.window_id is not null then 1 else 0 end as event_value,
    starts.first_event_date,
    true as is_eligible,
    true as is_measured
from windows
left join starts on windows.window_id = starts.window_id
