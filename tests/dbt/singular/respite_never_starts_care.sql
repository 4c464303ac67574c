-- FV.OUT.P, B.4: no period of care starts on a day on which only a short break starts. The start of a period may be
-- stated by a later episode of it (C.1).
with starts as (
    select
        la_id,
        child_key,
        episode_start_date as start_date
    from {{ ref('int_spells__care_episodes') }}
    where not is_respite
    union
    select
        la_id,
        child_key,
        period_start_date as start_date
    from {{ ref('int_spells__care_episodes') }}
    where not is_respite
)

select periods.care_period_key
from {{ ref('int_spells__care_periods') }} as periods
left join starts
    on
        periods.la_id = starts.la_id
        and periods.child_key = starts.child_key
        and periods.care_start_date = starts.start_date
where starts.child_key is null
