-- FV.OUT.P, B.4: no period of care starts on a day on which only a short break starts. The start of a period may be
-- stated by a later episode of it (C.1).
select periods.care_period_id
from {{ ref('int_spells__care_periods') }} as periods
left join {{ ref('int_spells__care_episodes') }} as episodes
    on
        periods.la_id = episodes.la_id
        and periods.child_id = episodes.child_id
        and periods.care_start_date in (episodes.episode_start_date, episodes.period_start_date)
        and not episodes.is_respite
where episodes.child_id is null
