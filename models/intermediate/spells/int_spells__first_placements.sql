{{ config(materialized='table') }}

-- Where a child was placed when care began: the first placement of the period that is not a temporary one; a temporary
-- code is read through to the next, a placement that the return leaves blank is not (FV.OUT.S3, B.2, DECISIONS D43).
with placements as (
    select
        periods.care_period_id,
        episodes.placement_code,
        coalesce(codes.is_kinship_foster, false) as is_kinship_foster,
        row_number() over (
            partition by periods.care_period_id
            order by episodes.episode_start_date
        ) as placement_number
    from {{ ref('int_spells__care_periods') }} as periods
    inner join {{ ref('int_spells__care_episodes') }} as episodes
        on
            periods.la_id = episodes.la_id
            and periods.child_id = episodes.child_id
            and (
                periods.care_start_date = episodes.episode_start_date
                or (
                    periods.care_start_date < episodes.episode_start_date
                    and (periods.care_end_date is null or episodes.episode_start_date < periods.care_end_date)
                )
            )
    left join {{ ref('placement_codes') }} as codes on episodes.placement_code = codes.placement_code
    where not episodes.is_respite and not coalesce(codes.is_temporary, false)
)

select
    care_period_id,
    placement_code,
    is_kinship_foster
from placements
where placement_number = 1 and placement_code is not null
