{{ config(materialized='table') }}

-- Every referral in the trial period ends in exactly one step, so the flow adds up to the row (FV.SAMPLE.4).
with referrals as (
    select
        entries.*,
        areas.is_treatment_la,
        coalesce(areas.is_treatment_la and entries.referral_date >= areas.go_live_date, false) as is_after_go_live
    from {{ ref('int_cohort__trial_referrals') }} as entries
    inner join {{ ref('int_programmes__local_authorities') }} as areas
        on entries.programme_id = areas.programme_id and entries.la_id = areas.la_id
),

steps as (
    select
        referrals.programme_id,
        outcomes.outcome_id,
        referrals.la_id,
        referrals.is_treatment_la,
        referrals.is_after_go_live,
        case
            when referrals.age_at_referral_months is null then 1
            when not referrals.is_of_age then 2
            when not referrals.is_on_basis then 3
            when referrals.entry_number > 1 then 4
            when not windows.is_in_sample then 5
            when not windows.is_fully_observed then 6
            else 7
        end as step_number
    from referrals
    inner join {{ ref('programme_outcomes') }} as outcomes on referrals.programme_id = outcomes.programme_id
    left join {{ ref('int_cohort__outcome_windows') }} as windows
        on
            referrals.programme_id = windows.programme_id
            and outcomes.outcome_id = windows.outcome_id
            and referrals.child_id = windows.child_id
            and windows.cohort = 'trial'
)

select
    programme_id,
    outcome_id,
    la_id,
    is_treatment_la,
    is_after_go_live,
    step_number,
    case step_number
        when 1 then 'excluded: age not known'
        when 2 then 'excluded: not of the programme''s ages'
        when 3 then 'excluded: not on the chosen referral basis'
        when 4 then 'excluded: not the child''s first referral in the trial period'
        when 5 then 'excluded: already looked after at the referral'
        when 6 then 'excluded: referral or follow-up not covered by the returns'
        else 'analysis sample'
    end as step,
    count(*) as referral_count
from steps
group by programme_id, outcome_id, la_id, is_treatment_la, is_after_go_live, step_number
