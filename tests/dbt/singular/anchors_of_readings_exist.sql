-- FV.PROG.5: every reading runs from something there is: the referral, the start of care, or a sample of the programme.
select
    readings.programme_id,
    readings.outcome_id,
    readings.reading_id,
    readings.anchor
from {{ ref('programme_outcomes') }} as readings
left join {{ ref('referral_samples') }} as samples
    on readings.programme_id = samples.programme_id and readings.anchor = samples.sample_id
where readings.anchor not in ('referral', 'care_start') and samples.sample_id is null
