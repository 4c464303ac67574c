{{ config(materialized='table') }}

-- The quarters of an LA's trend: those that lie whole in the matching window of the LA itself, if treated, or of any
-- treatment LA, if a candidate; nothing that could have been seen after go-live is in (FV.MATCH.3).
with windows as (
    select
        areas.programme_id,
        areas.la_id,
        areas.matching_start_date,
        areas.matching_end_date
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join {{ ref('int_programmes__evaluated') }} as evaluated on areas.programme_id = evaluated.programme_id
    where areas.is_treatment_la
),

quarters as (
    select distinct {{ quarter_start('referral_date') }} as quarter_start_date
    from {{ ref('int_spells__referrals') }}
    union
    select distinct {{ quarter_start('care_start_date') }} as quarter_start_date
    from {{ ref('int_spells__care_periods') }}
),

quarter_windows as (
    select
        windows.programme_id,
        windows.la_id,
        quarters.quarter_start_date
    from windows
    inner join quarters
        on
            quarters.quarter_start_date >= windows.matching_start_date
            and {{ add_months('quarters.quarter_start_date', 3) }} <= windows.matching_end_date
)

select
    programme_id,
    la_id,
    quarter_start_date
from quarter_windows
union
select
    areas.programme_id,
    areas.la_id,
    quarter_windows.quarter_start_date
from {{ ref('int_programmes__local_authorities') }} as areas
inner join quarter_windows on areas.programme_id = quarter_windows.programme_id
where areas.is_matching_candidate
