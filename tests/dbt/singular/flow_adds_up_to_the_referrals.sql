-- FV.SAMPLE.4: every referral of the trial period, or start of care where the outcome runs from it, stands in exactly
-- one step, for every outcome.
with flow as (
    select
        flows.programme_id,
        flows.outcome_id,
        readings.anchor,
        sum(flows.entry_count) as entry_count
    from {{ ref('fct_sample_flow') }} as flows
    inner join {{ ref('programme_outcomes') }} as readings
        on
            flows.programme_id = readings.programme_id
            and flows.outcome_id = readings.outcome_id
            and readings.is_default
    group by flows.programme_id, flows.outcome_id, readings.anchor
),

entries as (
    select
        samples.programme_id,
        samples.anchor,
        count(*) as entry_count
    from {{ ref('int_cohort__trial_referrals') }} as referrals
    inner join {{ ref('int_cohort__samples') }} as samples on referrals.sample_number = samples.sample_number
    group by samples.programme_id, samples.anchor
    union all
    select
        programme_id,
        'care_start' as anchor,
        count(*) as entry_count
    from {{ ref('int_cohort__trial_care_starts') }}
    group by programme_id
),

expected as (
    select
        readings.programme_id,
        readings.outcome_id,
        readings.anchor,
        entries.entry_count
    from {{ ref('programme_outcomes') }} as readings
    inner join entries on readings.programme_id = entries.programme_id and readings.anchor = entries.anchor
    where readings.is_default
)

select
    expected.programme_id,
    expected.outcome_id,
    flow.entry_count as in_flow,
    expected.entry_count as in_trial
from expected
left join flow
    on
        expected.programme_id = flow.programme_id
        and expected.outcome_id = flow.outcome_id
        and expected.anchor = flow.anchor
where coalesce(flow.entry_count, 0) <> expected.entry_count
