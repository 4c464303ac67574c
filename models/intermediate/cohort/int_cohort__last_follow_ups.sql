-- Until when the extracts must reach for the follow-up of everyone who enters on the last day of a trial (FV.PROG.6,
-- FV.SAMPLE.5).
select
    readings.programme_id,
    readings.outcome_id,
    readings.reading_id,
    readings.is_default,
    readings.window_months,
    {{ follow_up_end('periods.trial_end_date', 'readings', 'terms') }} as last_follow_up_date
from {{ ref('programme_outcomes') }} as readings
inner join {{ ref('int_programmes__trial_periods') }} as periods on readings.programme_id = periods.programme_id
left join {{ ref('int_cohort__following_terms') }} as terms
    on periods.trial_end_date = terms.anchor_date and readings.window_terms = terms.term_number
