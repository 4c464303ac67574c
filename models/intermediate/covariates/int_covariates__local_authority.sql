{{ config(materialized='table') }}

with points as (
    select distinct
        programme_id,
        la_id,
        anchor_date
    from {{ ref('int_cohort__entries') }}
),

measures as (
    select
        areas.la_id,
        statistics.reference_date,
        statistics.measure,
        avg(statistics.measure_value) as measure_value
    from {{ ref('stg_la__statistics') }} as statistics
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on statistics.la_code = areas.la_code
    where statistics.measure_value is not null
    group by areas.la_id, statistics.reference_date, statistics.measure
),

latest as (
    select
        points.la_id,
        points.anchor_date,
        measures.measure,
        max(measures.reference_date) as reference_date
    from points
    inner join measures
        on points.la_id = measures.la_id and measures.reference_date < points.anchor_date
    group by points.la_id, points.anchor_date, measures.measure
),

-- The most recent figure that describes a day before the referral (FV.COV.3).
figures as (
    select
        latest.la_id,
        latest.anchor_date,
        max(case when latest.measure = 'pupils_fsm_pct' then measures.measure_value end) as la_fsm_pct,
        max(case when latest.measure = 'pupils_white_british_pct' then measures.measure_value end)
            as la_white_british_pct
    from latest
    inner join measures
        on
            latest.la_id = measures.la_id
            and latest.measure = measures.measure
            and latest.reference_date = measures.reference_date
    group by latest.la_id, latest.anchor_date
),

innovation as (
    select distinct
        points.programme_id,
        points.la_id,
        points.anchor_date
    from points
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on points.la_id = areas.la_id
    inner join {{ ref('innovation_programmes') }} as listed
        on
            areas.la_code = listed.la_code
            and listed.is_default
            and (listed.programme_id is null or listed.programme_id <> points.programme_id)
            and listed.start_date <= points.anchor_date
            and (listed.end_date is null or listed.end_date >= points.anchor_date)
)

select
    points.programme_id,
    points.la_id,
    points.anchor_date,
    figures.la_fsm_pct,
    figures.la_white_british_pct,
    innovation.la_id is not null as has_other_innovation_programme
from points
left join figures
    on points.la_id = figures.la_id and points.anchor_date = figures.anchor_date
left join innovation
    on
        points.programme_id = innovation.programme_id
        and points.la_id = innovation.la_id
        and points.anchor_date = innovation.anchor_date
