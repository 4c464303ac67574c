-- Which kinds of treated children have nobody like them in the comparison LAs? Their strata are dropped (FV.CEM.9).
select
    outcome_id,
    gender_group,
    age_band,
    ethnic_group,
    is_disabled,
    fsm_group,
    is_uasc,
    has_previous_cpp,
    count(*) as children
from {{ ref('fct_cem_strata') }}
group by
    outcome_id, gender_group, age_band, ethnic_group, is_disabled, fsm_group, is_uasc, has_previous_cpp
having sum(case when is_treatment_la then 0 else 1 end) = 0
order by children desc, gender_group asc, age_band asc, ethnic_group asc
