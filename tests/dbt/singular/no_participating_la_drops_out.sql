-- FV.SAMPLE.5: an LA that takes part in an evaluation and is missing from a source for a year between two that it
-- returned stops the build, unless known_missing_returns says why. A lost return would show false zeros.
select
    source,
    la_code,
    return_year
from {{ ref('fct_source_coverage') }}
where is_in_evaluation and is_dropped_out and known_missing_reason is null
