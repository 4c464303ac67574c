-- Which LA leaves which field blank most often, over all years (FV.COV.4)?
select
    areas.la_name,
    missing.source_kind,
    missing.field,
    sum(missing.row_count) as asked,
    round(100.0 * sum(missing.missing_count) / nullif(sum(missing.row_count), 0), 1) as missing_pct
from {{ ref('fct_missingness') }} as missing
inner join {{ ref('dim_local_authorities') }} as areas on missing.la_id = areas.la_id
group by areas.la_name, missing.source_kind, missing.field
having sum(missing.missing_count) > 0
order by missing_pct desc, areas.la_name asc, missing.source_kind asc, missing.field asc
