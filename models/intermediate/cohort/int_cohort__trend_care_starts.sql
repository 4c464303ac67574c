{{ config(materialized='table') }}

-- Entrants to an LA's trend of an outcome that starts with care: each child's first start of care in a quarter, in that
-- LA, at the programme's ages (FV.MATCH.3).
with la_quarters as (
    select distinct
        programme_id,
        la_id,
        quarter_start_date
    from {{ ref('int_programmes__trend_quarters') }}
),

starts as (
    select
        *,
        {{ quarter_start('care_start_date') }} as quarter_start_date
    from {{ ref('int_cohort__care_starts') }}
),

ranked as (
    select
        la_quarters.programme_id,
        starts.*,
        row_number() over (
            partition by la_quarters.programme_id, starts.la_id, starts.child_key, starts.quarter_start_date
            order by starts.care_start_date
        ) as start_number
    from la_quarters
    inner join {{ ref('programmes') }} as programmes on la_quarters.programme_id = programmes.programme_id
    inner join starts
        on la_quarters.la_id = starts.la_id and la_quarters.quarter_start_date = starts.quarter_start_date
    where {{ is_of_age('starts.age_at_care_start_months', 'programmes') }}
)

select
    programme_id,
    la_id,
    quarter_start_date,
    child_key,
    care_start_date,
    care_end_date
from ranked
where start_number = 1
