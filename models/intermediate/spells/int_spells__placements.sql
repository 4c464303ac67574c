{{ config(materialized='table') }}

-- Where a child was on every day of a period of care: a placement lasts until the next episode of the period,
-- the last one until care ends, so that a period falls into placements without a gap or an overlap. Days before the
-- first episode that the extract holds have no known placement (C.1).
with episodes as (
    select
        periods.care_period_key,
        periods.la_id,
        periods.child_key,
        periods.care_start_date,
        periods.care_end_date,
        episodes.episode_start_date,
        episodes.placement_code,
        lead(episodes.episode_start_date) over period_of_care as next_episode_start_date,
        row_number() over period_of_care as episode_number
    from {{ ref('int_spells__care_periods') }} as periods
    inner join {{ ref('int_spells__care_episodes') }} as episodes
        on
            periods.la_id = episodes.la_id
            and periods.child_key = episodes.child_key
            and (
                periods.care_start_date = episodes.episode_start_date
                or (
                    periods.care_start_date < episodes.episode_start_date
                    and (periods.care_end_date is null or episodes.episode_start_date < periods.care_end_date)
                )
            )
    where not episodes.is_respite
    window period_of_care as (partition by periods.care_period_key order by episodes.episode_start_date)
)

select
    care_period_key,
    la_id,
    child_key,
    episode_start_date as placement_start_date,
    coalesce(next_episode_start_date, care_end_date) as placement_end_date,
    placement_code
from episodes
union all
select
    care_period_key,
    la_id,
    child_key,
    care_start_date as placement_start_date,
    episode_start_date as placement_end_date,
    cast(null as {{ dbt.type_string() }}) as placement_code
from episodes
where episode_number = 1 and care_start_date < episode_start_date
