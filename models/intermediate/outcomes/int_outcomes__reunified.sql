-- FV.OUT.S4: the period of care ends in the window with a return to a person with parental responsibility. The reading
-- says whether a return that was not planned counts; special guardianship and others without that responsibility never.
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure in ('planned_return', 'any_return')
),

returns as (
    select
        windows.window_id,
        min(periods.care_end_date) as first_event_date
    from windows
    inner join {{ ref('int_spells__care_periods') }} as periods
        on
            windows.child_key = periods.child_key
            and windows.la_id = periods.la_id
            and windows.window_start_date = periods.care_start_date
            and periods.care_end_date <= windows.window_end_date
    inner join {{ ref('reason_episode_ceased_codes') }} as reasons
        on periods.reason_care_ceased_code = reasons.reason_episode_ceased_code
    where
        (windows.measure = 'planned_return' and reasons.is_reunified_planned)
        or (windows.measure = 'any_return' and reasons.is_reunified_any)
    group by windows.window_id
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    case when returns.window_id is not null then 1 else 0 end as event_value,
    returns.first_event_date,
    true as is_eligible,
    true as is_measured
from windows
left join returns on windows.window_id = returns.window_id
