-- What a placement costs: for every kind of placement, the rows of unit costs that may stand for it, in order of
-- preference (FV.CBA.1). A week is a seventh of itself a day, a year 365.25 days.
select
    choices.placement_group,
    cast(choices.preference as integer) as preference,
    unit_costs.unit_cost_id,
    unit_costs.item,
    unit_costs.return_year,
    unit_costs.period,
    cast(unit_costs.amount_gbp as {{ type_double() }}) as amount_gbp,
    unit_costs.per_period,
    cast(
        case unit_costs.per_period
            when 'week' then unit_costs.amount_gbp * 365.25 / nullif(7, 0)
            when 'year' then unit_costs.amount_gbp
        end as {{ type_double() }}
    ) as amount_gbp_per_year,
    unit_costs.price_basis,
    unit_costs.is_verified,
    unit_costs.caveat,
    choices.reason,
    unit_costs.source
from {{ ref('placement_group_costs') }} as choices
inner join {{ ref('unit_costs') }} as unit_costs on choices.unit_cost_id = unit_costs.unit_cost_id
where unit_costs.return_year is not null
