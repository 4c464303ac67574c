-- How the order of going live was drawn, by treatment LA, and whether it was kept: the rank of the date drawn and of
-- the real one within the stratum (FV.TRI.1). Where a date drawn is not known, neither is that.
with drawn as (
    select
        areas.programme_id,
        areas.la_id,
        areas.go_live_date,
        min(listed.stratum) as stratum,
        min(listed.planned_go_live_date) as planned_go_live_date,
        min(case when listed.is_order_randomised then 1 when not listed.is_order_randomised then 0 end) as randomised
    from {{ ref('int_programmes__local_authorities') }} as areas
    left join {{ ref('int_programmes__continuing_areas') }} as codes on areas.la_id = codes.la_id
    left join {{ ref('randomisation') }} as listed
        on areas.programme_id = listed.programme_id and codes.la_code = listed.la_code
    where areas.role = 'treatment'
    group by areas.programme_id, areas.la_id, areas.go_live_date
),

ranked as (
    select
        *,
        rank() over (
            partition by programme_id, stratum
            order by planned_go_live_date nulls last
        ) as planned_rank,
        rank() over (
            partition by programme_id, stratum
            order by go_live_date nulls last
        ) as go_live_rank,
        count(*) over (partition by programme_id, stratum) as la_count,
        count(planned_go_live_date) over (partition by programme_id, stratum) as planned_count
    from drawn
)

select
    programme_id,
    la_id,
    coalesce(stratum, 'all') as stratum,
    randomised = 1 as is_order_randomised,
    planned_go_live_date,
    go_live_date,
    case when planned_count = la_count then planned_rank = go_live_rank end as is_order_kept
from ranked
