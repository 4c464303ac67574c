-- Which codes stand in a field that should not hold them in that return, and in how many LAs?
select
    source_kind,
    field,
    unknown_codes,
    return_year,
    count(distinct la_code) as las,
    sum(unknown_count) as unknown_rows
from {{ ref('fct_unknown_codes') }}
where unknown_count > 0
group by source_kind, field, unknown_codes, return_year
order by source_kind, field, return_year, unknown_codes
