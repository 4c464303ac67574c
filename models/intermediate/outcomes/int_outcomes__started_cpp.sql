-- FV.OUT.S1: a child protection plan starts in the window, in whichever LA.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'cpp_start'
),

starts as (
    select
        windows.window_id,
        min(plans.cpp_start_date) as first_event_date
    from windows
    inner join {{ ref('int_spells__child_protection_plans') }} as plans
        on
            windows.child_id = plans.child_id
            and plans.cpp_start_date >= windows.window_start_date
            and plans.cpp_start_date <= windows.window_end_date
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
