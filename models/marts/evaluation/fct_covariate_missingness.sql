{% set covariates = {
    'age_at_anchor_months': 'entries.age_at_anchor_months is null',
    'gender': 'covariates.gender = 4',
    'ethnicity': 'covariates.ethnicity_code is null',
    'ethnic_group': "covariates.ethnic_group = 'Missing'",
    'is_disabled': 'covariates.is_disabled is null',
    'is_fsm': 'covariates.is_fsm is null',
    'is_uasc': 'covariates.is_uasc is null',
    'previous_cpp_count': 'covariates.previous_cpp_count is null',
    'primary_need': 'covariates.primary_need is null',
    'la_fsm_pct': 'areas.la_fsm_pct is null',
    'la_white_british_pct': 'areas.la_white_british_pct is null',
    'has_other_innovation_programme': 'areas.has_other_innovation_programme is null'
} %}

-- Of the children that an estimate is made from, for how many a covariate is missing (FV.COV.4, DECISIONS D58). A
-- gender that was never recorded is a level of its own, one in conflict is missing (FV.COV.1). Free school meals that
-- are not observed and an ethnic group that is missing are levels in the strata (FV.COV.2, FV.CEM.4, DECISIONS D72).
with counts as (
    select
        outcomes.reading_number,
        entries.is_treatment_la,
        entries.is_treated,
        count(*) as child_count,
        {%- for covariate, is_missing in covariates.items() %}
        sum(case when {{ is_missing }} then 1 else 0 end) as {{ covariate }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ ref('int_outcomes__all') }} as outcomes
    inner join {{ ref('int_cohort__entries') }} as entries on outcomes.anchor_id = entries.anchor_id
    inner join {{ ref('int_programmes__readings') }} as readings on outcomes.reading_number = readings.reading_number
    inner join {{ ref('int_covariates__child') }} as covariates on entries.anchor_id = covariates.anchor_id
    inner join {{ ref('int_covariates__local_authority') }} as areas
        on
            entries.programme_id = areas.programme_id
            and entries.la_id = areas.la_id
            and entries.anchor_date = areas.anchor_date
    where
        readings.is_default
        and outcomes.is_in_sample
        and outcomes.is_fully_observed
    group by outcomes.reading_number, entries.is_treatment_la, entries.is_treated
),

named as (
    select
        readings.programme_id,
        readings.outcome_id,
        case
            when counts.is_treated then 'treated'
            when counts.is_treatment_la then 'treatment LA before go-live'
            else 'comparison LA'
        end as arm,
        counts.*
    from counts
    inner join {{ ref('int_programmes__readings') }} as readings on counts.reading_number = readings.reading_number
),

listed as (
    {%- for covariate in covariates %}
    select
        programme_id,
        outcome_id,
        '{{ covariate }}' as covariate,
        arm,
        child_count,
        cast({{ covariate }} as bigint) as missing_count
    from named
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
)

select
    programme_id,
    outcome_id,
    covariate,
    arm,
    child_count,
    missing_count,
    100 * cast(missing_count as {{ type_double() }}) / nullif(child_count, 0) as missing_pct,
    covariate in ('is_fsm', 'ethnic_group') as is_level_of_its_own
from listed
