-- What matching may look at: nothing else of a trend is read for the treatment LA, of the LA itself or of a candidate.
select
    programme_id,
    outcome_id,
    window_id,
    la_id as treatment_la_id,
    quarter_start_date,
    last_follow_up_date,
    assumed_go_live_date,
    is_default
from {{ ref('int_programmes__matching_quarters') }}
