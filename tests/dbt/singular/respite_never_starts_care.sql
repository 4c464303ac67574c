-- FV.OUT.P, B.4: no period of care starts on a day on which only a short break starts. The start of a period may be
-- stated by a later episode of it (C.1).
with starts as (
    select
        la_id,
        child_id,
        episode_start_date as start_date
    from {{ ref('int_spells__care_episodes') }}
    where not is_respite
    union
    select
        la_id,
        child_id,
        period_start_date as start_date
    from {{ ref('int_spells__care_episodes') }}
    where not is_respite
)

select periods.care_period_id
from {{ ref('int_spells__care_periods') }} as periods
left join starts
    on
        periods.la_id = starts.la_id
        and periods.child_id = starts.child_id
        and periods.care_start_date = starts.start_date
where starts.child_id is null
