{% set outcomes = [
    'became_looked_after', 'started_cpp', 'plan_days', 'kinship_care', 'reunified', 'unauthorised_absence'
] %}
{% set measures = ['cpp', 'cin_plan', 'cin_episode'] %}

-- One row per child in any sample. Where a child entered care in the trial period without a referral in it, the
-- columns of the referral are empty; covariates are those at the referral, else at the start of care. An outcome has a
-- value for a child of its sample whose follow-up is covered (DECISIONS D52).
with asked as (
    select
        {%- for outcome in outcomes %}
        outcome_id = '{{ outcome }}' and is_default as is_{{ outcome }},
        {%- endfor %}
        {%- for measure in measures %}
        outcome_id = 'plan_days'
        and measure = '{{ measure }}'
        and (is_default or reading_id = '{{ measure }}_days') as is_{{ measure }}_days,
        {%- endfor %}
        reading_number
    from {{ ref('int_programmes__readings') }}
    where is_default or outcome_id = 'plan_days'
),

readings as (
    select
        entries.programme_id,
        entries.child_key,
        {%- for outcome in outcomes %}
        bool_or(case when asked.is_{{ outcome }} then outcomes.is_in_sample end) as is_in_sample__{{ outcome }},
        bool_or(case when asked.is_{{ outcome }} then outcomes.is_fully_observed end)
            as is_fully_observed__{{ outcome }},
        max(case when asked.is_{{ outcome }} and outcomes.is_in_sample then outcomes.outcome_value end)
            as {{ outcome }},
        {%- endfor %}
        {%- for measure in measures %}
        max(case when asked.is_{{ measure }}_days then outcomes.outcome_value end) as {{ measure }}_days,
        {%- endfor %}
        max(case when asked.is_plan_days then outcomes.observable_share end) as plan_observable_share,
        min(case when asked.is_became_looked_after then outcomes.first_event_date end) as first_care_start_date
    from {{ ref('int_outcomes__all') }} as outcomes
    inner join {{ ref('int_cohort__entries') }} as entries on outcomes.anchor_id = entries.anchor_id
    inner join asked on outcomes.reading_number = asked.reading_number
    group by entries.programme_id, entries.child_key
),

referrals as (
    select * from {{ ref('int_cohort__entries') }}
    where anchor = 'referral'
),

care_starts as (
    select * from {{ ref('int_cohort__entries') }}
    where anchor = 'care_start'
),

children as (
    select
        coalesce(referrals.programme_id, care_starts.programme_id) as programme_id,
        coalesce(referrals.child_key, care_starts.child_key) as child_key,
        coalesce(referrals.anchor_id, care_starts.anchor_id) as anchor_id,
        coalesce(referrals.la_id, care_starts.la_id) as covariate_la_id,
        coalesce(referrals.anchor_date, care_starts.anchor_date) as covariate_date,
        referrals.anchor_id as referral_anchor_id,
        referrals.la_id,
        referrals.anchor_date as index_referral_date,
        referrals.is_treatment_la,
        referrals.is_treated,
        referrals.age_at_anchor_months as age_at_referral_months,
        referrals.is_unborn_at_referral,
        referrals.is_looked_after_at_anchor as is_looked_after_at_referral,
        care_starts.la_id as care_start_la_id,
        care_starts.anchor_date as care_start_date,
        care_starts.age_at_anchor_months as age_at_care_start_months,
        care_starts.is_treated as is_treated_at_care_start
    from referrals
    full outer join care_starts
        on referrals.programme_id = care_starts.programme_id and referrals.child_key = care_starts.child_key
)

select
    children.programme_id,
    {{ id_of('children.child_key') }} as child_id,
    children.la_id,
    children.index_referral_date,
    {{ financial_year_label(return_year('children.index_referral_date')) }} as financial_year,
    {{ quarter_start('children.index_referral_date') }} as quarter_start_date,
    children.is_treatment_la,
    children.is_treated,
    treatments.is_treated_by_share_of_time,
    treatments.is_treated_by_days,
    treatments.is_treated_with_trailblazer,
    treatments.is_in_embedding_period,
    cast(children.age_at_referral_months as integer) as age_at_referral_months,
    children.is_unborn_at_referral,
    children.is_looked_after_at_referral,
    readings.first_care_start_date,
    children.care_start_la_id,
    children.care_start_date,
    cast(children.age_at_care_start_months as integer) as age_at_care_start_months,
    children.is_treated_at_care_start,
    cast(covariates.gender as integer) as gender,
    covariates.ethnicity_code as ethnicity,
    covariates.ethnic_group,
    covariates.is_disabled,
    covariates.is_fsm,
    covariates.is_uasc,
    covariates.is_disabled_up_to_referral,
    covariates.is_uasc_up_to_referral,
    covariates.previous_cpp_count,
    covariates.is_linked_to_pupil,
    cast(covariates.primary_need as integer) as primary_need,
    areas.la_fsm_pct,
    areas.la_white_british_pct,
    areas.has_other_innovation_programme,
    readings.became_looked_after = 1 as has_become_looked_after,
    readings.started_cpp = 1 as has_started_cpp,
    cast(readings.plan_days as integer) as plan_days,
    cast(readings.cpp_days as integer) as cpp_days,
    cast(readings.cin_plan_days as integer) as cin_plan_days,
    readings.plan_observable_share,
    cast(readings.cin_episode_days as integer) as cin_episode_days,
    readings.kinship_care = 1 as is_kinship_first_placement,
    readings.reunified = 1 as is_reunified,
    readings.unauthorised_absence as unauthorised_absence_pct,
    {%- for outcome in outcomes %}
    coalesce(readings.is_in_sample__{{ outcome }}, false) as is_in_sample__{{ outcome }},
    coalesce(readings.is_fully_observed__{{ outcome }}, false) as is_fully_observed__{{ outcome }}
    {%- if not loop.last %},{% endif %}
    {%- endfor %}
from children
inner join {{ ref('int_covariates__child') }} as covariates on children.anchor_id = covariates.anchor_id
left join {{ ref('int_covariates__treatment') }} as treatments on children.referral_anchor_id = treatments.anchor_id
left join readings
    on children.programme_id = readings.programme_id and children.child_key = readings.child_key
inner join {{ ref('int_covariates__local_authority') }} as areas
    on
        children.programme_id = areas.programme_id
        and children.covariate_la_id = areas.la_id
        and children.covariate_date = areas.anchor_date
