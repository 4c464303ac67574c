{{ config(materialized='table') }}

-- When a child was open to children's social care, in whichever LA: half-open and without overlaps, so that no day
-- counts twice (FV.OUT.S2, FV.TREAT.2).
with ordered as (
    select
        *,
        max(stay_end_date) over (
            partition by child_key
            order by stay_start_date, stay_end_date
            rows between unbounded preceding and 1 preceding
        ) as latest_end_date
    from {{ ref('int_spells__referral_stays') }}
),

numbered as (
    select
        *,
        sum(case when stay_start_date <= latest_end_date then 0 else 1 end) over (
            partition by child_key
            order by stay_start_date, stay_end_date
            rows between unbounded preceding and current row
        ) as interval_number
    from ordered
)

select
    child_key,
    min(stay_start_date) as interval_start_date,
    nullif(max(stay_end_date), {{ far_future() }}) as interval_end_date
from numbered
group by child_key, interval_number
