-- What does a year in each kind of placement cost in prices of the base year, by verified figures, and at what rate are
-- later years discounted?
with base as (
    select prices.price_index
    from {{ ref('dim_price_indices') }} as prices
    inner join {{ ref('dim_economic_settings') }} as chosen
        on chosen.setting = 'price_base_year' and chosen.value = cast(prices.ending_year as {{ dbt.type_string() }})
    where prices.period_kind = 'financial_year'
),

priced as (
    select
        unit_costs.placement_group,
        unit_costs.item,
        unit_costs.period,
        unit_costs.amount_gbp_per_year,
        unit_costs.amount_gbp_per_year * base.price_index / nullif(prices.price_index, 0) as amount_gbp_base_year,
        row_number() over (
            partition by unit_costs.placement_group
            order by unit_costs.preference asc nulls last, unit_costs.return_year desc
        ) as place
    from {{ ref('dim_unit_costs') }} as unit_costs
    inner join {{ ref('dim_price_indices') }} as prices
        on unit_costs.return_year = prices.ending_year and prices.period_kind = 'financial_year'
    cross join base
    where unit_costs.is_verified
)

select
    priced.placement_group,
    priced.item,
    priced.period,
    round(priced.amount_gbp_per_year) as amount_gbp_per_year,
    round(priced.amount_gbp_base_year) as amount_gbp_base_year,
    rates.edition,
    rates.discount_rate
from priced
inner join {{ ref('dim_discount_rates') }} as rates
    on rates.first_year = 0
inner join {{ ref('dim_economic_settings') }} as chosen
    on chosen.setting = 'discount_schedule' and rates.schedule = chosen.value
where priced.place = 1
order by amount_gbp_base_year desc nulls last
