-- FV.CEM.1: a stratum is what its key says: one combination of coarsened covariates under a key and one key of a
-- combination, the same with the financial year.
{% set covariates = cem_covariates() %}

with combinations as (
    select distinct
        covariate_stratum_id,
        year_stratum_id,
        financial_year,
        {{ covariates | join(', ') }}
    from {{ ref('fct_cem_strata') }}
),

without_year as (
    select distinct
        covariate_stratum_id,
        {{ covariates | join(', ') }}
    from combinations
)

select
    'covariate_stratum_id' as stratum_key,
    covariate_stratum_id as stratum_id
from without_year
group by covariate_stratum_id
having count(*) > 1
union all
select
    'year_stratum_id' as stratum_key,
    year_stratum_id as stratum_id
from combinations
group by year_stratum_id
having count(*) > 1
union all
select
    'combination' as stratum_key,
    min(covariate_stratum_id) as stratum_id
from without_year
group by {{ covariates | join(', ') }}
having count(*) > 1
union all
select
    'combination and year' as stratum_key,
    min(year_stratum_id) as stratum_id
from combinations
group by financial_year, {{ covariates | join(', ') }}
having count(*) > 1
