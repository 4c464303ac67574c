{{ config(materialized='table') }}

-- Entrants to an LA's trend: each child's first referral in a quarter, in that LA, of the programme's ages. A
-- quarter counts when it lies whole in [go-live - 48 months, go-live - 18 months) of the LA itself, if treated, or
-- of any treatment LA, if a candidate; nothing that could have been seen after go-live is in (FV.MATCH.3).
with windows as (
    select
        programme_id,
        la_id,
        matching_start_date,
        matching_end_date
    from {{ ref('int_programmes__local_authorities') }}
    where is_treatment_la
),

quarters as (
    select distinct {{ quarter_start('referral_date') }} as quarter_start_date
    from {{ ref('int_spells__referrals') }}
),

quarter_windows as (
    select
        windows.programme_id,
        windows.la_id,
        quarters.quarter_start_date
    from windows
    inner join quarters
        on
            quarters.quarter_start_date >= windows.matching_start_date
            and {{ add_months('quarters.quarter_start_date', 3) }} <= windows.matching_end_date
),

la_quarters as (
    select
        programme_id,
        la_id,
        quarter_start_date
    from quarter_windows
    union
    select
        areas.programme_id,
        areas.la_id,
        quarter_windows.quarter_start_date
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join quarter_windows on areas.programme_id = quarter_windows.programme_id
    where areas.is_matching_candidate
),

referrals as (
    select
        referrals.*,
        ages.age_at_referral_months,
        {{ quarter_start('referrals.referral_date') }} as quarter_start_date
    from {{ ref('int_spells__referrals') }} as referrals
    inner join {{ ref('int_cohort__referral_ages') }} as ages on referrals.referral_id = ages.referral_id
)

select
    la_quarters.programme_id,
    la_quarters.la_id,
    la_quarters.quarter_start_date,
    referrals.child_id,
    min(referrals.referral_date) as referral_date
from la_quarters
inner join {{ ref('programmes') }} as programmes on la_quarters.programme_id = programmes.programme_id
inner join referrals
    on la_quarters.la_id = referrals.la_id and la_quarters.quarter_start_date = referrals.quarter_start_date
where
    {{ is_of_age('referrals.age_at_referral_months', 'programmes') }}
    and {{ is_on_referral_basis('referrals', 'programmes') }}
group by
    la_quarters.programme_id, la_quarters.la_id, la_quarters.quarter_start_date, referrals.child_id
