-- FV.MATCH.3: no period of a published trend reaches past the go-live of its LA less the gap of its series, and none of
-- a candidate past the latest of these.
with windows as (
    select
        areas.programme_id,
        areas.la_id,
        series.series_id,
        {{ add_months('areas.go_live_date', '-coalesce(series.matching_end_months, programmes.matching_end_months)') }}
            as end_date
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join {{ ref('programmes') }} as programmes on areas.programme_id = programmes.programme_id
    cross join {{ ref('published_series') }} as series
    where areas.is_treatment_la
),

latest as (
    select
        programme_id,
        series_id,
        max(end_date) as end_date
    from windows
    group by programme_id, series_id
)

select
    trends.programme_id,
    trends.series_id,
    trends.la_id,
    trends.period_end_date
from {{ ref('fct_published_trends') }} as trends
inner join latest on trends.programme_id = latest.programme_id and trends.series_id = latest.series_id
left join windows
    on
        trends.programme_id = windows.programme_id
        and trends.series_id = windows.series_id
        and trends.la_id = windows.la_id
where trends.period_end_date >= coalesce(windows.end_date, latest.end_date)
