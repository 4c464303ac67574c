-- How many LAs are left to choose from for each outcome, and why not the others?
select
    programme_id,
    outcome_id,
    status,
    reason,
    source,
    count(*) as la_count
from {{ ref('fct_la_eligibility') }}
group by programme_id, outcome_id, status, reason, source
order by programme_id, outcome_id, status, reason, source
