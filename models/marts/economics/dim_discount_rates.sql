select
    schedule,
    cast(year_from as integer) as first_year,
    cast(year_to as integer) as last_year,
    cast(rate as {{ type_double() }}) as discount_rate,
    edition,
    source
from {{ ref('discount_rates') }}
