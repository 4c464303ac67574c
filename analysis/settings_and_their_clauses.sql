-- Which limits do matching, strata and tests of data quality use, and which clause asks for them?
select
    clause,
    setting,
    value,
    meaning
from {{ ref('dim_evaluation_settings') }}
order by clause, setting
