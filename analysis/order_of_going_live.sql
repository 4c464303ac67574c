-- How was the order of going live drawn, and was it kept? Empty: the documents do not say.
select
    programme_id,
    stratum,
    la_id,
    is_order_randomised,
    planned_go_live_date,
    go_live_date,
    is_order_kept
from {{ ref('dim_randomisation') }}
order by programme_id, stratum, go_live_date, la_id
