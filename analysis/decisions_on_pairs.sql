-- What did people decide on pairs of LAs? A treatment LA and outcome without a row of its own is left to the automatic
-- rule.
select
    listed.programme_id,
    listed.outcome_id,
    listed.la_name,
    decisions.comparator_la_id,
    decisions.decision,
    decisions.reason,
    decisions.decided_by,
    decisions.decided_on,
    decisions.data_version
from {{ ref('fct_la_eligibility') }} as listed
left join {{ ref('dim_la_match_decisions') }} as decisions
    on
        listed.programme_id = decisions.programme_id
        and listed.outcome_id = decisions.outcome_id
        and listed.la_id = decisions.treatment_la_id
where listed.status = 'treatment'
order by listed.programme_id, listed.outcome_id, listed.la_name, decisions.comparator_la_id nulls last
