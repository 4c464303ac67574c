-- Where too many treated children are lost with the financial year in the key, strata are those of the covariates
-- before and after the go-live day of the treatment LA (FV.CEM.1): for each treatment LA, how many of its children have
-- a child of another LA in their stratum, by either key?
with strata as (
    select
        areas.programme_id,
        areas.la_id as treatment_la_id,
        areas.la_name,
        children.outcome_id,
        children.year_stratum_id,
        children.covariate_stratum_id,
        children.anchor_date >= areas.go_live_date as is_after_go_live,
        children.la_id = areas.la_id as is_of_treatment_la
    from {{ ref('dim_programme_local_authorities') }} as areas
    inner join {{ ref('fct_cem_strata') }} as children on areas.programme_id = children.programme_id
    where areas.is_treatment_la and (children.la_id = areas.la_id or not children.is_treatment_la)
),

shared as (
    select
        *,
        max(case when is_of_treatment_la then 0 else 1 end) over (
            partition by programme_id, treatment_la_id, outcome_id, year_stratum_id, is_after_go_live
        ) as is_shared_by_year,
        max(case when is_of_treatment_la then 0 else 1 end) over (
            partition by programme_id, treatment_la_id, outcome_id, covariate_stratum_id, is_after_go_live
        ) as is_shared_by_period
    from strata
)

select
    programme_id,
    outcome_id,
    la_name,
    count(*) as children,
    sum(is_shared_by_year) as with_a_comparison_child_by_year,
    sum(is_shared_by_period) as with_a_comparison_child_by_period
from shared
where is_of_treatment_la
group by programme_id, outcome_id, la_name
order by programme_id, outcome_id, la_name
