with outcomes as (
    select
        programme_id,
        child_id,
        bool_or(case when outcome_id = 'became_looked_after' then is_in_sample end)
            as is_in_sample__became_looked_after,
        bool_or(case when outcome_id = 'became_looked_after' then is_fully_observed end)
            as is_fully_observed__became_looked_after,
        max(case when outcome_id = 'became_looked_after' then outcome_value end) = 1
            as has_become_looked_after,
        min(case when outcome_id = 'became_looked_after' then first_event_date end) as first_care_start_date
    from {{ ref('int_outcomes__all') }}
    where cohort = 'trial'
    group by programme_id, child_id
),

anchors as (
    select
        programme_id,
        child_id,
        is_looked_after_at_anchor
    from {{ ref('int_cohort__anchors') }}
    where cohort = 'trial'
)

select
    entries.programme_id,
    entries.child_id,
    entries.la_id,
    entries.index_referral_date,
    {{ financial_year_label(return_year('entries.index_referral_date')) }} as financial_year,
    {{ quarter_start('entries.index_referral_date') }} as quarter_start_date,
    entries.is_treatment_la,
    entries.is_treated,
    cast(entries.age_at_referral_months as integer) as age_at_referral_months,
    entries.is_unborn_at_referral,
    anchors.is_looked_after_at_anchor as is_looked_after_at_referral,
    outcomes.first_care_start_date,
    cast(covariates.gender as integer) as gender,
    covariates.ethnicity_code as ethnicity,
    covariates.ethnic_group,
    covariates.is_disabled,
    covariates.is_fsm,
    covariates.is_uasc,
    covariates.previous_cpp_count,
    covariates.is_linked_to_pupil,
    cast(covariates.primary_need as integer) as primary_need,
    areas.la_fsm_pct,
    areas.la_white_british_pct,
    areas.has_other_innovation_programme,
    outcomes.has_become_looked_after,
    outcomes.is_in_sample__became_looked_after,
    outcomes.is_fully_observed__became_looked_after
from {{ ref('int_cohort__index_referrals') }} as entries
inner join {{ ref('int_covariates__child') }} as covariates
    on entries.index_referral_id = covariates.index_referral_id
inner join anchors
    on entries.programme_id = anchors.programme_id and entries.child_id = anchors.child_id
inner join outcomes
    on entries.programme_id = outcomes.programme_id and entries.child_id = outcomes.child_id
inner join {{ ref('int_covariates__local_authority') }} as areas
    on
        entries.programme_id = areas.programme_id
        and entries.la_id = areas.la_id
        and entries.index_referral_date = areas.index_referral_date
