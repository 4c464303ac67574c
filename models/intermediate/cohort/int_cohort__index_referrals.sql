{{ config(materialized='table') }}

with entries as (
    select * from {{ ref('int_cohort__trial_referrals') }}
    where entry_number = 1
)

-- Treated: the first referral in the trial period falls on or after the go-live day of a treatment LA (FV.TREAT.1).
select
    md5(entries.programme_id || '|' || entries.child_id) as index_referral_id,
    entries.programme_id,
    entries.child_id,
    entries.la_id,
    entries.referral_id,
    entries.referral_date as index_referral_date,
    entries.age_at_referral_months,
    entries.is_unborn_at_referral,
    entries.is_nfa,
    entries.primary_need,
    areas.is_treatment_la,
    coalesce(areas.is_treatment_la and entries.referral_date >= areas.go_live_date, false) as is_treated
from entries
inner join {{ ref('int_programmes__local_authorities') }} as areas
    on entries.programme_id = areas.programme_id and entries.la_id = areas.la_id
