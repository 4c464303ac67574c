-- Which role each LA plays in each programme, by the register and the published figures alone: no returns are needed.
with present as (
    select distinct la_id from {{ ref('int_published__periods') }}
)

select
    areas.programme_id,
    programmes.programme_name,
    areas.la_id,
    coalesce(named.la_name, areas.la_id) as la_name,
    named.region_name,
    coalesce(named.is_reorganised, false) as is_reorganised,
    areas.role,
    areas.go_live_date,
    areas.is_treatment_la,
    areas.is_matching_candidate,
    areas.exclusion_reason
from {{ ref('int_programmes__local_authorities') }} as areas
inner join {{ ref('programmes') }} as programmes on areas.programme_id = programmes.programme_id
inner join present on areas.la_id = present.la_id
left join {{ ref('dim_local_authorities') }} as named on areas.la_id = named.la_id
