-- The referral with which a child enters a trial, in each sample of the programme (FV.SAMPLE.1, FV.PROG.5).
select
    sample_number,
    child_key,
    la_id,
    referral_key,
    referral_date as index_referral_date,
    age_at_referral_months,
    is_unborn_at_referral,
    is_nfa,
    primary_need
from {{ ref('int_cohort__trial_referrals') }}
where entry_number = 1 and is_of_age
