-- Which treatment LAs have no child yet whose follow-up after go-live is complete, and until when must the extracts
-- reach for the whole trial (FV.SAMPLE.5)?
select
    programme_id,
    outcome_id,
    reading_id,
    la_name,
    go_live_date,
    entry_count as children,
    after_go_live_count as children_after_go_live,
    after_go_live_fully_observed_count as observed_after_go_live,
    has_observed_after_go_live,
    latest_fully_observed_entry_date,
    returns_reach_date,
    first_observed_from_data_to_date,
    fully_observed_from_data_to_date
from {{ ref('fct_observability') }}
where is_treatment_la
order by programme_id, outcome_id, reading_id, has_observed_after_go_live, go_live_date, la_name
