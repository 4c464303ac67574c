with statistics as (
    {{ governed_source('la', 'la_statistics', key='none') }}
)

-- A marker (c, x, z, u, -, k) is not a number and never 0.
select
    la_code,
    reference_date,
    measure,
    case when trim(value) not in ('c', 'x', 'z', 'u', '-', 'k') then cast(value as {{ type_double() }}) end
        as measure_value,
    case when trim(value) in ('c', 'x', 'z', 'u', '-', 'k') then trim(value) end as marker
from statistics
