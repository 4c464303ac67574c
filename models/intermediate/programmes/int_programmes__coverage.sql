{{ config(materialized='table') }}

-- Which stretches of return years an LA's returns cover without a gap, per source (FV.SAMPLE.5, FV.PROG.6).
with returns as (
    select distinct
        'cla' as source_kind,
        areas.la_id,
        episodes.return_year
    from {{ ref('stg_cla__episodes') }} as episodes
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on episodes.la_code = areas.la_code
    union all
    select distinct
        'cin' as source_kind,
        areas.la_id,
        referrals.return_year
    from {{ ref('stg_cin__referrals') }} as referrals
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on referrals.la_code = areas.la_code
),

stretches as (
    select
        first_returns.source_kind,
        first_returns.la_id,
        first_returns.return_year as first_return_year,
        last_returns.return_year as last_return_year,
        count(*) as return_count
    from returns as first_returns
    inner join returns as last_returns
        on
            first_returns.source_kind = last_returns.source_kind
            and first_returns.la_id = last_returns.la_id
            and last_returns.return_year >= first_returns.return_year
    inner join returns as between_returns
        on
            first_returns.source_kind = between_returns.source_kind
            and first_returns.la_id = between_returns.la_id
            and between_returns.return_year >= first_returns.return_year
            and between_returns.return_year <= last_returns.return_year
    group by
        first_returns.source_kind, first_returns.la_id, first_returns.return_year, last_returns.return_year
)

select
    source_kind,
    la_id,
    first_return_year,
    last_return_year
from stretches
where return_count = last_return_year - first_return_year + 1
