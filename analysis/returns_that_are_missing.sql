-- Which LA is missing from a source in a year in which the register has it, and is it known why (FV.SAMPLE.5)?
select
    areas.la_name,
    coverage.source,
    coverage.return_year,
    coverage.known_missing_reason,
    coverage.is_dropped_out,
    coverage.is_in_evaluation
from {{ ref('fct_source_coverage') }} as coverage
inner join {{ ref('dim_local_authorities') }} as areas on coverage.la_id = areas.la_id
where coverage.is_expected and not coverage.is_present
order by areas.la_name, coverage.source, coverage.return_year
