{{ config(materialized='table') }}

-- The quarters of an LA's trend: those that may be looked at for the LA itself, if treated, or for any treatment LA, if
-- a candidate; nothing that could have been seen after go-live is in (FV.MATCH.3).
with quarters as (
    select
        programme_id,
        outcome_id,
        la_id,
        quarter_start_date,
        is_default
    from {{ ref('int_programmes__matching_quarters') }}
    union all
    select
        areas.programme_id,
        quarters.outcome_id,
        areas.la_id,
        quarters.quarter_start_date,
        quarters.is_default
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join {{ ref('int_programmes__matching_quarters') }} as quarters
        on areas.programme_id = quarters.programme_id
    where areas.is_matching_candidate
)

select
    programme_id,
    outcome_id,
    la_id,
    quarter_start_date,
    bool_or(is_default) as is_in_default_window
from quarters
group by programme_id, outcome_id, la_id, quarter_start_date
