-- FV.MATCH.3: no treatment LA has a quarter that reaches past its go-live less 18 months, and no quarter at all
-- reaches past the latest of these; and no outcome of a treatment LA's trend was observed on or after go-live.
with latest as (
    select
        programme_id,
        max(matching_end_date) as matching_end_date
    from {{ ref('int_programmes__local_authorities') }}
    where is_treatment_la
    group by programme_id
)

select
    trends.la_id,
    trends.quarter_start_date
from {{ ref('fct_la_quarter_outcomes') }} as trends
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on trends.programme_id = areas.programme_id and trends.la_id = areas.la_id
inner join latest on trends.programme_id = latest.programme_id
where
    {{ add_months('trends.quarter_start_date', 3) }}
    > coalesce(areas.matching_end_date, latest.matching_end_date)
union all
select
    anchors.la_id,
    anchors.anchor_date as quarter_start_date
from {{ ref('int_outcomes__all') }} as windows
inner join {{ ref('int_cohort__anchors') }} as anchors on windows.anchor_id = anchors.anchor_id
inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on samples.programme_id = areas.programme_id and anchors.la_id = areas.la_id
where samples.cohort = 'trend' and windows.window_end_date >= areas.programme_start_date
