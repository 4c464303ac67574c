-- FV.OUT.S3: of the children whose care starts in the window, whose first placement is with a relative or friend; from
-- a start of care that is this start. A first placement that is not known is not measured. Whether a child without a
-- start of care belongs here is only known once the whole window is covered (FV.SAMPLE.2, DECISIONS D51).
with windows as (
    select * from {{ ref('int_cohort__outcome_windows') }}
    where measure = 'first_placement'
),

starts as (
    select
        windows.window_id,
        periods.care_period_key,
        periods.care_start_date,
        row_number() over (
            partition by windows.window_id
            order by
                periods.care_start_date asc,
                case when periods.la_id = windows.la_id then 0 else 1 end asc,
                periods.care_period_key asc
        ) as start_number
    from windows
    inner join {{ ref('int_spells__care_periods') }} as periods
        on
            windows.child_key = periods.child_key
            and periods.care_start_date >= windows.window_start_date
            and periods.care_start_date <= windows.window_end_date
)

select
    {%- for column in window_columns() %}
    windows.{{ column }},
    {%- endfor %}
    case when placements.is_kinship_foster then 1 else 0 end as event_value,
    starts.care_start_date as first_event_date,
    case
        when starts.window_id is not null then true
        when windows.is_fully_observed then false
    end as is_eligible,
    starts.window_id is null or placements.care_period_key is not null as is_measured
from windows
left join starts on windows.window_id = starts.window_id and starts.start_number = 1
left join {{ ref('int_spells__first_placements') }} as placements
    on starts.care_period_key = placements.care_period_key
