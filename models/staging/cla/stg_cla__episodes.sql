with episodes as (
    {{ governed_source('cla', 'cla_episodes') }}
),

tidied as (
    select
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        episode_start_date,
        {{ tidy_code('reason_for_new_episode') }} as reason_for_new_episode_code,
        {{ tidy_code('legal_status') }} as legal_status_code,
        {{ tidy_code('placement') }} as placement_code,
        episode_end_date,
        {{ tidy_code('reason_episode_ceased') }} as reason_episode_ceased_code,
        period_start_date,
        source_row
    from episodes
)

-- Flat national files write -10 for an episode that is still open (B.2).
select
    return_year,
    la_code,
    la_child_id,
    episode_start_date,
    reason_for_new_episode_code,
    legal_status_code,
    placement_code,
    case when coalesce(reason_episode_ceased_code, '') <> '-10' then episode_end_date end as episode_end_date,
    nullif(reason_episode_ceased_code, '-10') as reason_episode_ceased_code,
    -- A period cannot start after one of its episodes: such a date says nothing.
    case when period_start_date <= episode_start_date then period_start_date end as period_start_date,
    source_row
from tidied
