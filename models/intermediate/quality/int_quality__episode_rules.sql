-- Episodes of one return in order of their start, short breaks among them, as the rules of B.3 and B.4 see them.
with episodes as (
    select
        episodes.*,
        {{ return_year_end('episodes.return_year') }} as year_end_date,
        coalesce(placements.is_temporary, false) as is_temporary,
        row_number() over child as episode_number,
        lead(episodes.episode_start_date) over child as next_start_date,
        lag(episodes.episode_end_date) over child as previous_end_date,
        lag(episodes.reason_episode_ceased_code) over child as previous_ceased_code,
        lag(episodes.category_of_need_code) over child as previous_category_code,
        max(episodes.episode_end_date) over (
            partition by episodes.return_year, episodes.la_code, episodes.la_child_id
            order by
                episodes.episode_start_date, coalesce(episodes.episode_end_date, cast('9999-12-31' as date)),
                episodes.source_row
            rows between unbounded preceding and 1 preceding
        ) as earlier_end_date
    from {{ ref('stg_cla__episodes') }} as episodes
    left join {{ ref('placement_codes') }} as placements on episodes.placement_code = placements.placement_code
    window child as (
        partition by episodes.return_year, episodes.la_code, episodes.la_child_id
        order by
            episodes.episode_start_date, coalesce(episodes.episode_end_date, cast('9999-12-31' as date)),
            episodes.source_row
    )
),

kinds as (
    select
        *,
        reason_for_new_episode_code = 'S' as is_start,
        episode_number > 1 and reason_for_new_episode_code <> 'S' as is_continuation,
        reason_episode_ceased_code <> 'X1' as is_end_of_care
    from episodes
)

select
    return_year,
    la_code,
    la_child_id,
    episode_number,
    episode_start_date,
    case when next_start_date is not null then episode_end_date is null end as rule_142,
    (episode_end_date is null) <> (reason_episode_ceased_code is null) as rule_148,
    -- The day on which the Children Act came into force.
    episode_start_date < cast('1991-10-14' as date) as rule_353,
    episode_end_date = episode_start_date as rule_355,
    episode_end_date < episode_start_date as rule_356,
    case
        when legal_status_code = 'V3'
            then coalesce(episode_end_date, year_end_date) > {{ add_days('episode_start_date', 17) }}
    end as rule_365,
    case when legal_status_code = 'V3' then coalesce(not is_start, true) end as rule_366,
    case when is_start then is_temporary end as rule_380,
    case when is_end_of_care then is_temporary end as rule_381,
    case when not is_end_of_care then coalesce(next_start_date <> episode_end_date, true) end as rule_388,
    -- The half-open rule: a start on the day of the last end continues care, so S is wrong there (trap 22).
    case when is_start and episode_number > 1 then coalesce(previous_end_date = episode_start_date, false) end
        as rule_431,
    case when is_continuation then previous_ceased_code <> 'X1' end as rule_432,
    case when is_continuation then previous_end_date <> episode_start_date end as rule_433,
    case when episode_number > 1 then coalesce(earlier_end_date > episode_start_date, false) end as rule_501,
    case when is_continuation then category_of_need_code <> previous_category_code end as rule_504
from kinds
