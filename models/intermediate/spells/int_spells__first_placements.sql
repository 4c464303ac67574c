{{ config(materialized='table') }}

-- Where a child was placed when care began: the first placement of the period that is not a temporary one; a temporary
-- code is read through to the next. Not known where that placement is blank or no listed code, or where the extract
-- does not hold the episode with which the period began (FV.OUT.S3, B.2, C.1, DECISIONS D53).
with episodes as (
    select
        periods.care_period_key,
        periods.care_start_date,
        episodes.episode_start_date,
        codes.placement_code,
        codes.is_kinship_foster,
        coalesce(codes.is_temporary, false) as is_temporary,
        min(episodes.episode_start_date) over (partition by periods.care_period_key) as first_episode_start_date
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
    left join {{ ref('placement_codes') }} as codes on episodes.placement_code = codes.placement_code
    where not episodes.is_respite
),

placements as (
    select
        care_period_key,
        placement_code,
        is_kinship_foster,
        row_number() over (partition by care_period_key order by episode_start_date) as placement_number
    from episodes
    where not is_temporary and first_episode_start_date = care_start_date
)

select
    care_period_key,
    placement_code,
    is_kinship_foster
from placements
where placement_number = 1 and placement_code is not null
