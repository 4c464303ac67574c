-- FV.SAMPLE.4: every referral of the trial period stands in exactly one step, for every outcome.
with flow as (
    select
        programme_id,
        outcome_id,
        sum(referral_count) as referral_count
    from {{ ref('fct_sample_flow') }}
    group by programme_id, outcome_id
),

referrals as (
    select
        programme_id,
        count(*) as referral_count
    from {{ ref('int_cohort__trial_referrals') }}
    group by programme_id
)

select
    flow.programme_id,
    flow.outcome_id,
    flow.referral_count as in_flow,
    referrals.referral_count as in_trial
from flow
inner join referrals on flow.programme_id = referrals.programme_id
where flow.referral_count <> referrals.referral_count
