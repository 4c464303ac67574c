-- Which quarters does each window of matching look at, for each treatment LA and outcome, and until when were they
-- followed up?
select
    quarters.window_id,
    quarters.outcome_id,
    areas.la_name,
    quarters.assumed_go_live_date,
    count(*) as quarter_count,
    min(quarters.quarter_start_date) as first_quarter_date,
    max(quarters.quarter_start_date) as last_quarter_date,
    max(quarters.last_follow_up_date) as last_follow_up_date
from {{ ref('fct_matching_quarters') }} as quarters
inner join {{ ref('dim_programme_local_authorities') }} as areas
    on quarters.programme_id = areas.programme_id and quarters.treatment_la_id = areas.la_id
group by quarters.window_id, quarters.outcome_id, areas.la_name, quarters.assumed_go_live_date
order by quarters.window_id, quarters.outcome_id, areas.la_name
