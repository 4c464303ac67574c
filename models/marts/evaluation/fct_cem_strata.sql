with children as (
    select
        readings.outcome_id,
        entries.programme_id,
        entries.child_key,
        entries.la_id,
        entries.is_treatment_la,
        entries.anchor_date,
        {{ return_year('entries.anchor_date') }} as return_year,
        case when covariates.gender = 4 then 0 else covariates.gender end as gender_group,
        case
            when entries.age_at_anchor_months < 4 * 12 then '0-3'
            when entries.age_at_anchor_months < 13 * 12 then '4-12'
            else '13+'
        end as age_band,
        covariates.ethnic_group,
        covariates.is_disabled,
        case
            when covariates.is_fsm_last_six_years then 'eligible'
            when not covariates.is_fsm_last_six_years then 'not eligible'
            else 'not observed'
        end as fsm_group,
        covariates.is_uasc,
        covariates.previous_cpp_count > 0 as has_previous_cpp
    from {{ ref('int_cohort__entries') }} as entries
    inner join {{ ref('int_covariates__child') }} as covariates on entries.anchor_id = covariates.anchor_id
    inner join {{ ref('int_outcomes__all') }} as outcomes on entries.anchor_id = outcomes.anchor_id
    inner join {{ ref('int_programmes__readings') }} as readings on outcomes.reading_number = readings.reading_number
    where readings.is_default and outcomes.is_in_sample and outcomes.is_fully_observed
),

-- Some hundred strata: their ids are made once each.
combinations as (
    select distinct
        {%- for covariate in cem_covariates() %}
        {{ covariate }},
        {%- endfor %}
        return_year,
        {{ financial_year_label('return_year') }} as financial_year
    from children
),

strata as (
    select
        *,
        {{ surrogate_key(cem_covariates()) }} as covariate_stratum_id,
        {{ surrogate_key(cem_covariates() + ['financial_year']) }} as year_stratum_id
    from combinations
)

-- The period (before or after go-live) depends on the pair of LAs, so it joins the key where pairs are known.
select
    children.programme_id,
    children.outcome_id,
    {{ id_of('children.child_key') }} as child_id,
    children.la_id,
    children.is_treatment_la,
    children.anchor_date,
    strata.financial_year,
    strata.covariate_stratum_id,
    strata.year_stratum_id,
    cast(children.gender_group as integer) as gender_group,
    children.age_band,
    children.ethnic_group,
    children.is_disabled,
    children.fsm_group,
    children.is_uasc,
    children.has_previous_cpp
from children
inner join strata
    on
        children.return_year = strata.return_year
        {%- for covariate in cem_covariates() %}
        and children.{{ covariate }} = strata.{{ covariate }}
        {%- endfor %}
