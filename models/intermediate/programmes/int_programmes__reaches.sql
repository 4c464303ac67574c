{{ config(materialized='table') }}

-- How far the returns of an area reach: the end of its last return, or of the data window where that is earlier
-- (FV.PROG.6).
select
    coverage.source_kind,
    coverage.la_id,
    max(least(
        {{ return_year_end('coverage.last_return_year') }},
        coalesce(limits.last_date, {{ return_year_end('coverage.last_return_year') }})
    )) as returns_reach_date
from {{ ref('int_programmes__coverage') }} as coverage
left join {{ ref('stg_governance__data_windows') }} as limits on coverage.source_kind = limits.source_kind
group by coverage.source_kind, coverage.la_id
