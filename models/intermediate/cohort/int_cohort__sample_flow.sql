{{ config(materialized='table') }}

-- Every referral, or start of care, in the trial period ends in exactly one step, so the flow adds up to the row
-- (FV.SAMPLE.4). Whether a child is one the outcome is about can itself hang on a follow-up that is not covered: such a
-- child stands in step 8, as one without a window does.
with candidates as (
    select
        samples.anchor,
        samples.programme_id,
        referrals.la_id,
        referrals.referral_date as anchor_date,
        referrals.age_at_referral_months as age_months,
        referrals.is_of_age,
        referrals.is_on_basis,
        referrals.entry_number
    from {{ ref('int_cohort__trial_referrals') }} as referrals
    inner join {{ ref('int_cohort__samples') }} as samples on referrals.sample_number = samples.sample_number
    union all
    select
        'care_start' as anchor,
        programme_id,
        la_id,
        care_start_date as anchor_date,
        age_at_care_start_months as age_months,
        is_of_age,
        true as is_on_basis,
        entry_number
    from {{ ref('int_cohort__trial_care_starts') }}
),

-- Referrals and starts of care with which no child enters: nothing is asked of their outcomes.
excluded as (
    select
        candidates.programme_id,
        candidates.anchor,
        candidates.la_id,
        areas.is_treatment_la,
        coalesce(areas.is_treatment_la and candidates.anchor_date >= areas.go_live_date, false) as is_after_go_live,
        case
            when not candidates.is_on_basis then 1
            when candidates.entry_number > 1 then 2
            when candidates.age_months is null then 3
            else 4
        end as step_number
    from candidates
    inner join {{ ref('int_programmes__local_authorities') }} as areas
        on candidates.programme_id = areas.programme_id and candidates.la_id = areas.la_id
    where not (candidates.is_on_basis and candidates.entry_number = 1 and candidates.is_of_age)
),

excluded_counts as (
    select
        programme_id,
        anchor,
        la_id,
        is_treatment_la,
        is_after_go_live,
        step_number,
        count(*) as entry_count
    from excluded
    group by programme_id, anchor, la_id, is_treatment_la, is_after_go_live, step_number
),

entrants as (
    select
        readings.reading_number,
        entries.la_id,
        entries.is_treatment_la,
        entries.is_treated as is_after_go_live,
        case
            when readings.is_already_looked_after_excluded and entries.is_looked_after_at_anchor then 5
            when not outcomes.is_eligible then 7
            when outcomes.is_eligible and not outcomes.is_in_sample then 6
            when outcomes.is_in_sample and outcomes.is_fully_observed then 9
            else 8
        end as step_number
    from {{ ref('int_cohort__entries') }} as entries
    inner join {{ ref('int_programmes__readings') }} as readings
        on
            entries.programme_id = readings.programme_id
            and entries.anchor = readings.anchor
            and readings.is_default
    left join {{ ref('int_outcomes__all') }} as outcomes
        on
            entries.anchor_id = outcomes.anchor_id
            and readings.reading_number = outcomes.reading_number
),

steps as (
    select
        readings.reading_number,
        excluded_counts.la_id,
        excluded_counts.is_treatment_la,
        excluded_counts.is_after_go_live,
        excluded_counts.step_number,
        excluded_counts.entry_count
    from excluded_counts
    inner join {{ ref('int_programmes__readings') }} as readings
        on
            excluded_counts.programme_id = readings.programme_id
            and excluded_counts.anchor = readings.anchor
            and readings.is_default
    union all
    select
        reading_number,
        la_id,
        is_treatment_la,
        is_after_go_live,
        step_number,
        count(*) as entry_count
    from entrants
    group by reading_number, la_id, is_treatment_la, is_after_go_live, step_number
),

named as (
    select
        steps.*,
        readings.programme_id,
        readings.outcome_id,
        case readings.anchor when 'care_start' then 'start of care' else 'referral' end as entry_name
    from steps
    inner join {{ ref('int_programmes__readings') }} as readings on steps.reading_number = readings.reading_number
)

select
    programme_id,
    outcome_id,
    la_id,
    is_treatment_la,
    is_after_go_live,
    step_number,
    case step_number
        when 1 then 'excluded: not on the chosen referral basis'
        when 2 then 'excluded: not the child''s first ' || entry_name || ' in the trial period'
        when 3 then 'excluded: age not known'
        when 4 then 'excluded: not of the programme''s ages'
        when 5 then 'excluded: already looked after at the referral'
        when 6 then 'excluded: turns 18 before care ends'
        when 7 then 'excluded: not among the children the outcome is about'
        when 8 then 'excluded: ' || entry_name || ' or follow-up not covered by the returns'
        else 'analysis sample'
    end as step,
    entry_count
from named
