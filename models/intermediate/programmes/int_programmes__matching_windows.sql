{{ config(materialized='table') }}

-- From when to when the trends of a treatment LA are compared, in the default window, its alternatives and before
-- placebo go-live dates. A row of matching_windows may leave start and gap to the programme (FV.MATCH.3, FV.MATCH.5),
-- and let a trailblazer be matched like a treatment LA, once it is known when it went live (FV.TREAT.5).
select
    areas.programme_id,
    windows.window_id,
    areas.la_id,
    windows.is_default,
    windows.maximum_quarters,
    areas.programme_start_date as go_live_date,
    {{ add_months('areas.programme_start_date', '-windows.placebo_months') }} as assumed_go_live_date,
    case
        when windows.start_months is null
            then {{ add_months('areas.matching_start_date', '-windows.placebo_months') }}
        else {{ add_months('areas.programme_start_date', '-windows.placebo_months - windows.start_months') }}
    end as window_start_date,
    case
        when windows.gap_months is null
            then {{ add_months('areas.matching_end_date', '-windows.placebo_months') }}
        else {{ add_months('areas.programme_start_date', '-windows.placebo_months - windows.gap_months') }}
    end as window_end_date
from {{ ref('int_programmes__local_authorities') }} as areas
inner join {{ ref('int_programmes__evaluated') }} as evaluated on areas.programme_id = evaluated.programme_id
cross join {{ ref('matching_windows') }} as windows
where
    areas.is_treatment_la
    or (windows.has_trailblazers and areas.role = 'trailblazer' and areas.programme_start_date is not null)
