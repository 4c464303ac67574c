-- FV.SAMPLE.5: an LA of an evaluation whose looked-after children (or pupils) suddenly find no counterpart stops the
-- build: a misspelt name or codes that lost their zeros would look like children to whom nothing happened.
select
    source,
    la_code,
    return_year,
    joined_pct,
    other_years_joined_pct
from {{ ref('fct_source_coverage') }}
where is_in_evaluation and is_join_collapsed and known_missing_reason is null
