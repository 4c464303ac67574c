-- Which assumptions must hold before two estimates are pooled, and for which outcomes is there an estimate from
-- elsewhere?
select
    assumptions.design,
    assumptions.assumption_id,
    assumptions.wording,
    assumptions.evidence,
    assumptions.is_gate,
    external_estimates.programme_id,
    external_estimates.outcome_id,
    external_estimates.estimate,
    external_estimates.unit,
    external_estimates.source
from {{ ref('dim_design_assumptions') }} as assumptions
left join {{ ref('dim_external_estimates') }} as external_estimates on assumptions.design = 'external'
order by
    assumptions.design asc, assumptions.is_gate desc, assumptions.assumption_id asc,
    external_estimates.programme_id asc nulls last, external_estimates.outcome_id asc nulls last
