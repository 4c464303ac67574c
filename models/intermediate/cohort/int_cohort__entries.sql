{{ config(materialized='table') }}

-- Who is in a trial and from which day: by the first referral in the trial period, by the first one of an alternative
-- sample, and by the first start of care for outcomes that begin there. Treated: that day is on or after the go-live
-- day of a treatment LA (FV.TREAT.1).
with entries as (
    select
        programme_id,
        anchor,
        child_id,
        la_id,
        index_referral_date as anchor_date,
        age_at_referral_months as age_at_anchor_months,
        is_unborn_at_referral
    from {{ ref('int_cohort__index_referrals') }}
    union all
    select
        programme_id,
        'care_start' as anchor,
        child_id,
        la_id,
        care_start_date as anchor_date,
        age_at_care_start_months as age_at_anchor_months,
        false as is_unborn_at_referral
    from {{ ref('int_cohort__trial_care_starts') }}
    where entry_number = 1 and is_of_age
)

select
    md5(entries.programme_id || '|' || entries.anchor || '|' || entries.child_id) as entry_id,
    entries.*,
    areas.is_treatment_la,
    coalesce(areas.is_treatment_la and entries.anchor_date >= areas.go_live_date, false) as is_treated
from entries
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on entries.programme_id = areas.programme_id and entries.la_id = areas.la_id
