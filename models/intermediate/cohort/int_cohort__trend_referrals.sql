-- Entrants to an LA's trend: each child's first referral in a quarter, in that LA, of the programme's ages
-- (FV.MATCH.3).
with la_quarters as (
    select distinct
        samples.sample_number,
        samples.programme_id,
        quarters.la_id,
        quarters.quarter_start_date
    from {{ ref('int_cohort__samples') }} as samples
    inner join {{ ref('int_programmes__trend_quarters') }} as quarters on samples.programme_id = quarters.programme_id
    where samples.cohort = 'trend' and samples.anchor = 'referral'
),

referrals as (
    select
        referrals.*,
        ages.age_at_referral_months,
        {{ quarter_start('referrals.referral_date') }} as quarter_start_date
    from {{ ref('int_spells__referrals') }} as referrals
    inner join {{ ref('int_cohort__referral_ages') }} as ages on referrals.referral_key = ages.referral_key
)

select
    la_quarters.sample_number,
    la_quarters.la_id,
    la_quarters.quarter_start_date,
    referrals.child_key,
    min(referrals.referral_date) as referral_date
from la_quarters
inner join {{ ref('programmes') }} as programmes on la_quarters.programme_id = programmes.programme_id
inner join referrals
    on la_quarters.la_id = referrals.la_id and la_quarters.quarter_start_date = referrals.quarter_start_date
where
    {{ is_of_age('referrals.age_at_referral_months', 'programmes') }}
    and {{ is_on_referral_basis('referrals', 'programmes') }}
group by
    la_quarters.sample_number, la_quarters.la_id, la_quarters.quarter_start_date, referrals.child_key
