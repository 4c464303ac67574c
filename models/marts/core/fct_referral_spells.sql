select
    {{ id_of('spells.referral_key') }} as referral_id,
    {{ id_of('spells.child_key') }} as child_id,
    spells.la_id,
    spells.la_code,
    spells.la_child_id,
    spells.referral_date,
    spells.closure_date,
    spells.is_nfa,
    spells.is_episode_of_need,
    spells.referral_source_code,
    spells.primary_need,
    spells.closure_reason_code,
    ages.age_at_referral_months,
    ages.is_unborn_at_referral,
    spells.first_return_year,
    spells.last_return_year
from {{ ref('int_spells__referrals') }} as spells
inner join {{ ref('int_cohort__referral_ages') }} as ages on spells.referral_key = ages.referral_key
