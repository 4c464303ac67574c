-- FV.SAMPLE.4, FV.CEM.1: the last step of the flow is exactly the children that are offered for matching.
with flow as (
    select
        programme_id,
        outcome_id,
        sum(entry_count) as child_count
    from {{ ref('fct_sample_flow') }}
    where step = 'analysis sample'
    group by programme_id, outcome_id
),

strata as (
    select
        programme_id,
        outcome_id,
        count(*) as child_count
    from {{ ref('fct_cem_strata') }}
    group by programme_id, outcome_id
)

select
    flow.programme_id,
    flow.outcome_id,
    flow.child_count as in_flow,
    strata.child_count as in_strata
from flow
left join strata on flow.programme_id = strata.programme_id and flow.outcome_id = strata.outcome_id
where flow.child_count <> coalesce(strata.child_count, 0)
