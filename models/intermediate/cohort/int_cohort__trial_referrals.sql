{{ config(materialized='table') }}

with in_trial as (
    select
        samples.sample_number,
        samples.is_by_factors,
        referrals.referral_key,
        referrals.child_key,
        referrals.la_id,
        referrals.referral_date,
        referrals.closure_date,
        referrals.is_nfa,
        referrals.primary_need,
        ages.is_unborn_at_referral,
        ages.age_at_referral_months,
        {{ is_of_age('ages.age_at_referral_months', 'programmes') }} as is_of_age,
        {{ is_on_referral_basis('referrals', 'samples') }} as is_on_basis
    from {{ ref('programmes') }} as programmes
    inner join {{ ref('int_cohort__samples') }} as samples
        on
            programmes.programme_id = samples.programme_id
            and samples.cohort = 'trial'
            and samples.anchor <> 'care_start'
    inner join {{ ref('int_programmes__evaluated') }} as evaluated
        on programmes.programme_id = evaluated.programme_id
    inner join {{ ref('int_programmes__trial_periods') }} as periods
        on programmes.programme_id = periods.programme_id
    inner join {{ ref('int_spells__referrals') }} as referrals
        on
            referrals.referral_date >= periods.trial_start_date
            and referrals.referral_date <= periods.trial_end_date
    inner join {{ ref('int_cohort__referral_ages') }} as ages on referrals.referral_key = ages.referral_key
),

-- Referrals whose assessment shows one of a sample's factors (FV.PROG.5, DECISIONS D70).
with_factors as (
    select distinct
        samples.sample_number,
        factors.la_id,
        factors.child_key,
        factors.referral_date
    from {{ ref('int_cohort__samples') }} as samples
    inner join {{ ref('sample_factors') }} as listed
        on samples.programme_id = listed.programme_id and samples.anchor = listed.sample_id
    inner join {{ ref('int_spells__assessment_factors') }} as factors
        on listed.assessment_factor_code = factors.assessment_factor_code
),

candidates as (
    select in_trial.*
    from in_trial
    left join with_factors
        on
            in_trial.sample_number = with_factors.sample_number
            and in_trial.la_id = with_factors.la_id
            and in_trial.child_key = with_factors.child_key
            and in_trial.referral_date = with_factors.referral_date
    where not in_trial.is_by_factors or with_factors.child_key is not null
)

-- Children occur once, with the first referral that counts as one; whether they are of age is asked of that referral
-- (FV.SAMPLE.1, FV.SAMPLE.4, DECISIONS D59). On one day in two LAs: further action, then open longest, then the key,
-- a hash that cannot know which LA is treated.
select
    sample_number,
    referral_key,
    child_key,
    la_id,
    referral_date,
    closure_date,
    is_nfa,
    primary_need,
    is_unborn_at_referral,
    age_at_referral_months,
    is_of_age,
    is_on_basis,
    case
        when is_on_basis
            then
                row_number() over (
                    partition by sample_number, child_key, is_on_basis
                    order by
                        referral_date asc,
                        case when is_nfa then 1 else 0 end asc,
                        case when closure_date is null and not is_nfa then 0 else 1 end asc,
                        coalesce(closure_date, cast('1900-01-01' as date)) desc,
                        referral_key asc
                )
    end as entry_number
from candidates
