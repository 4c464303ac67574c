-- FV.OUT.S2: no more days than the window is long; days on plans are those of both kinds, each day once.
select
    outcomes.programme_id,
    outcomes.child_id
from {{ ref('fct_outcome_values') }} as outcomes
where
    outcomes.outcome_id = 'plan_days'
    and (
        outcomes.outcome_value < 0
        or outcomes.outcome_value > {{ days_between('outcomes.anchor_date', 'outcomes.window_end_date') }}
    )
union all
select
    children.programme_id,
    children.child_id
from {{ ref('fct_child_outcomes') }} as children
where children.cin_plan_days is not null and children.plan_days <> children.cpp_days + children.cin_plan_days
