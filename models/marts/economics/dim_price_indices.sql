select
    period_kind,
    cast(ending_year as integer) as ending_year,
    period,
    cast(index_2024_100 as {{ type_double() }}) as price_index,
    is_derived,
    derivation,
    source
from {{ ref('gdp_deflators') }}
