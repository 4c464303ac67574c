select
    programme_id,
    outcome_id,
    la_id,
    is_treatment_la,
    is_after_go_live,
    cast(step_number as integer) as step_number,
    step,
    entry_count
from {{ ref('int_cohort__sample_flow') }}
