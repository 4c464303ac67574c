-- Which covariates are missing, for how many children, and is it the same in both arms (FV.COV.4)?
select
    outcome_id,
    covariate,
    is_level_of_its_own,
    max(case when arm = 'treated' then round(missing_pct, 1) end) as treated_pct,
    max(case when arm = 'treatment LA before go-live' then round(missing_pct, 1) end) as before_go_live_pct,
    max(case when arm = 'comparison LA' then round(missing_pct, 1) end) as comparison_pct,
    sum(missing_count) as missing_children
from {{ ref('fct_covariate_missingness') }}
group by outcome_id, covariate, is_level_of_its_own
order by outcome_id asc, missing_children desc, covariate asc
