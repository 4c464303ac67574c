-- What share of days in care is spent where, by LA and financial year?
select
    areas.la_name,
    mix.financial_year,
    mix.placement_group,
    mix.care_day_count,
    round(mix.care_days_pct, 1) as care_days_pct
from {{ ref('fct_placement_mix') }} as mix
inner join {{ ref('dim_local_authorities') }} as areas on mix.la_id = areas.la_id
order by areas.la_name asc nulls last, mix.financial_year asc nulls last, mix.care_days_pct desc nulls last
