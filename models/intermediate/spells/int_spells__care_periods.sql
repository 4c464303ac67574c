{{ config(materialized='table') }}

-- Short breaks are left out before episodes are chained: a respite stay neither starts nor bridges a period of
-- care (B.4, FV.OUT.P).
with episodes as (
    select
        episodes.*,
        lag(episodes.episode_end_date) over child as previous_end_date,
        lag(episodes.reason_episode_ceased_code) over child as previous_ceased_code,
        lag(episodes.episode_start_date) over child as previous_start_date,
        lag(episodes.period_start_date) over child as previous_period_start_date
    from {{ ref('int_spells__care_episodes') }} as episodes
    where not episodes.is_respite
    window child as (partition by episodes.la_id, episodes.child_key order by episodes.episode_start_date)
),

-- B.3, in the order of the rule: the first episode starts a period; after an open episode only S does; after an
-- X1 a gap does if S follows it (otherwise the gap is closed); after an end of care a gap or an S does. The national
-- file of one row a year lacks the episodes between: there the start of the period that it states decides (C.1).
marked as (
    select
        *,
        case
            when previous_start_date is null then 1
            when period_start_date is not null and previous_period_start_date is not null
                then case when period_start_date = previous_period_start_date then 0 else 1 end
            when previous_end_date is null
                then case when reason_for_new_episode_code = 'S' then 1 else 0 end
            when previous_ceased_code = 'X1'
                then case
                    when episode_start_date > previous_end_date and reason_for_new_episode_code = 'S' then 1
                    else 0
                end
            when episode_start_date > previous_end_date or reason_for_new_episode_code = 'S' then 1
            else 0
        end as is_new_period
    from episodes
),

numbered as (
    select
        *,
        sum(is_new_period) over (
            partition by la_id, child_key
            order by episode_start_date
            rows between unbounded preceding and current row
        ) as period_number
    from marked
),

spans as (
    select
        la_id,
        child_key,
        period_number,
        min(episode_start_date) as first_episode_start_date,
        min(coalesce(period_start_date, episode_start_date)) as care_start_date,
        max(episode_start_date) as last_episode_start_date,
        count(*) as episode_count
    from numbered
    group by la_id, child_key, period_number
),

bounds as (
    select
        spans.la_id,
        spans.child_key,
        spans.care_start_date,
        spans.episode_count,
        case when spans.first_episode_start_date = spans.care_start_date then first_episodes.placement_code end
            as first_placement_code,
        last_episodes.episode_end_date,
        last_episodes.last_reported_date,
        last_episodes.reason_episode_ceased_code,
        lead(spans.care_start_date) over (
            partition by spans.la_id, spans.child_key
            order by spans.care_start_date
        ) as next_care_start_date
    from spans
    inner join numbered as last_episodes
        on
            spans.la_id = last_episodes.la_id
            and spans.child_key = last_episodes.child_key
            and spans.last_episode_start_date = last_episodes.episode_start_date
    inner join numbered as first_episodes
        on
            spans.la_id = first_episodes.la_id
            and spans.child_key = first_episodes.child_key
            and spans.first_episode_start_date = first_episodes.episode_start_date
),

-- An X1 in the last report of the LA means that care goes on; where nothing or a new start follows it, care
-- ended that day (DECISIONS D7).
ends as (
    select
        *,
        case
            when
                coalesce(reason_episode_ceased_code, '') <> 'X1'
                or next_care_start_date is not null
                or last_reported_date is not null
                then episode_end_date
        end as stated_end_date
    from bounds
)

-- Half-open: the child is looked after from the start date up to, not including, the end date. The first placement is
-- known only where the first episode of the period is seen: the file of one row a year may begin with a later one.
select
    {{ key_of(joined_text(['la_id', 'child_key', 'care_start_date'])) }} as care_period_key,
    la_id,
    child_key,
    care_start_date,
    least(
        coalesce(stated_end_date, last_reported_date, next_care_start_date),
        coalesce(next_care_start_date, stated_end_date, last_reported_date)
    ) as care_end_date,
    case
        when
            stated_end_date is not null
            and reason_episode_ceased_code <> 'X1'
            and coalesce(next_care_start_date >= stated_end_date, true)
            then reason_episode_ceased_code
    end as reason_care_ceased_code,
    stated_end_date is null and coalesce(last_reported_date, next_care_start_date) is not null as is_end_inferred,
    first_placement_code,
    episode_count
from ends
