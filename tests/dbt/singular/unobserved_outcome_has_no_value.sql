-- FV.SAMPLE.5: a window that is not covered has no value, a covered one always has.
select
    programme_id,
    child_id
from {{ ref('fct_child_outcomes') }}
where is_fully_observed__became_looked_after <> (has_become_looked_after is not null)
