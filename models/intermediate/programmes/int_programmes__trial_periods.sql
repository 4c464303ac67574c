{{ config(materialized='table') }}

with programmes as (
    select * from {{ ref('programmes') }}
),

go_lives as (
    select
        programme_id,
        min(go_live_date) as first_go_live_date,
        max(go_live_date) as last_go_live_date
    from {{ ref('programme_local_authorities') }}
    where role = 'treatment' and go_live_date is not null
    group by programme_id
),

last_precisions as (
    select
        programme_local_authorities.programme_id,
        max(case when programme_local_authorities.date_precision = 'month' then 1 else 0 end) as is_by_month
    from {{ ref('programme_local_authorities') }} as programme_local_authorities
    inner join go_lives
        on
            programme_local_authorities.programme_id = go_lives.programme_id
            and programme_local_authorities.go_live_date = go_lives.last_go_live_date
    where programme_local_authorities.role = 'treatment'
    group by programme_local_authorities.programme_id
),

computed as (
    select
        programmes.programme_id,
        go_lives.first_go_live_date,
        go_lives.last_go_live_date,
        programmes.trial_start_date_override,
        programmes.trial_end_date_override,
        last_precisions.is_by_month,
        {{ add_months('go_lives.first_go_live_date', '-programmes.months_before_first_go_live') }}
            as computed_start_date,
        {{ add_months('go_lives.last_go_live_date', 'programmes.months_after_last_go_live') }}
            as computed_end_date
    from programmes
    inner join go_lives on programmes.programme_id = go_lives.programme_id
    inner join last_precisions on programmes.programme_id = last_precisions.programme_id
)

-- A last date known by month only runs to the end of the sixth month (FV.PROG.3).
select
    programme_id,
    first_go_live_date,
    last_go_live_date,
    coalesce(trial_start_date_override, computed_start_date) as trial_start_date,
    coalesce(
        trial_end_date_override,
        case when is_by_month = 1 then {{ month_end('computed_end_date') }} else computed_end_date end
    ) as trial_end_date
from computed
