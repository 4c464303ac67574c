{{ config(materialized='table') }}

-- Who is in a trial and from which day: by the first referral in the trial period, by the first one of an alternative
-- sample, and by the first start of care for outcomes that begin there. Treated: that day is on or after the go-live
-- day of a treatment LA (FV.TREAT.1).
select
    anchors.anchor_id,
    samples.programme_id,
    samples.anchor,
    anchors.child_key,
    anchors.la_id,
    anchors.anchor_date,
    anchors.age_at_anchor_months,
    anchors.is_unborn_at_referral,
    anchors.is_looked_after_at_anchor,
    areas.is_treatment_la,
    coalesce(areas.is_treatment_la and anchors.anchor_date >= areas.go_live_date, false) as is_treated
from {{ ref('int_cohort__anchors') }} as anchors
inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on samples.programme_id = areas.programme_id and anchors.la_id = areas.la_id
where samples.cohort = 'trial'
