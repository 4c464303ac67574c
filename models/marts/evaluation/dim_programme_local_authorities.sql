with present as (
    select distinct la_id from {{ ref('int_programmes__coverage') }}
    where source_kind = 'cin'
)

select
    areas.programme_id,
    areas.la_id,
    coalesce(named.la_name, areas.la_id) as la_name,
    named.region_name,
    areas.role,
    areas.go_live_date,
    areas.embedding_start_date,
    areas.embedding_end_date,
    areas.is_treatment_la,
    areas.is_matching_candidate,
    areas.exclusion_reason,
    areas.matching_start_date,
    areas.matching_end_date,
    periods.trial_start_date,
    periods.trial_end_date
from {{ ref('int_programmes__local_authorities') }} as areas
inner join present on areas.la_id = present.la_id
inner join {{ ref('int_programmes__evaluated') }} as evaluated on areas.programme_id = evaluated.programme_id
inner join {{ ref('int_programmes__trial_periods') }} as periods on areas.programme_id = periods.programme_id
left join {{ ref('dim_local_authorities') }} as named on areas.la_id = named.la_id
