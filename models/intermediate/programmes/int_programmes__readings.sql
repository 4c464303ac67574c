{{ config(materialized='table') }}

-- The readings of the outcomes under a number of their own, which their windows carry instead of names: windows are
-- many (FV.OUT.*). It never leaves this layer.
select
    row_number() over (order by programme_id, outcome_id, reading_id) as reading_number,
    count(*) over () as reading_count,
    programme_id,
    outcome_id,
    reading_id,
    is_default,
    is_trend_reading,
    anchor,
    measure,
    window_months,
    window_terms,
    is_already_looked_after_excluded,
    is_censored_at_18,
    turning_18_exclusion,
    observable_from_date
from {{ ref('programme_outcomes') }}
