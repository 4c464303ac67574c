{{ config(materialized='table') }}

-- The blindfold. A quarter may be looked at for a treatment LA where it lies whole in the window and where even the
-- last child that entered in it was followed up before go-live, whatever the window says (FV.MATCH.3).
with followed as (
    select
        readings.programme_id,
        readings.outcome_id,
        quarters.quarter_start_date,
        quarters.next_quarter_date,
        {{ follow_up_end('quarters.last_entry_date', 'readings', 'terms') }} as last_follow_up_date
    from {{ ref('int_programmes__quarters') }} as quarters
    cross join {{ ref('programme_outcomes') }} as readings
    left join {{ ref('int_cohort__following_terms') }} as terms
        on quarters.last_entry_date = terms.anchor_date and readings.window_terms = terms.term_number
    where readings.is_trend_reading
),

allowed as (
    select
        windows.programme_id,
        followed.outcome_id,
        windows.window_id,
        windows.la_id,
        followed.quarter_start_date,
        followed.last_follow_up_date,
        windows.is_default,
        windows.assumed_go_live_date,
        windows.maximum_quarters,
        row_number() over (
            partition by windows.programme_id, followed.outcome_id, windows.window_id, windows.la_id
            order by followed.quarter_start_date desc
        ) as quarters_back
    from {{ ref('int_programmes__matching_windows') }} as windows
    inner join followed
        on
            windows.programme_id = followed.programme_id
            and followed.quarter_start_date >= windows.window_start_date
            and followed.next_quarter_date <= windows.window_end_date
            and followed.last_follow_up_date < windows.assumed_go_live_date
)

select
    programme_id,
    outcome_id,
    window_id,
    la_id,
    quarter_start_date,
    last_follow_up_date,
    is_default,
    assumed_go_live_date
from allowed
where quarters_back <= coalesce(maximum_quarters, quarters_back)
