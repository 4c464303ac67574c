{{ config(materialized='table') }}

-- Which stretches of return years an area's returns cover without a gap, per source (FV.SAMPLE.5, FV.PROG.6). A
-- reorganised area has returned when every code that was valid in the year has. Assessments are a source of their own:
-- where a return holds none with factors, nobody can be said to have none (FV.PROG.5).
with sent as (
    select distinct
        'cla' as source_kind,
        la_code,
        return_year
    from {{ ref('stg_cla__episodes') }}
    union all
    select distinct
        'cin' as source_kind,
        la_code,
        return_year
    from {{ ref('stg_cin__records') }}
    union all
    select distinct
        'assessment' as source_kind,
        la_code,
        return_year
    from {{ ref('stg_cin__assessments') }}
    where assessment_factor_codes is not null
),

received as (
    select
        sent.source_kind,
        areas.la_id,
        sent.return_year,
        count(*) as code_count
    from sent
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on sent.la_code = areas.la_code
    group by sent.source_kind, areas.la_id, sent.return_year
),

expected as (
    select
        received.source_kind,
        received.la_id,
        received.return_year,
        count(distinct listed.la_code) as code_count
    from received
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on received.la_id = areas.la_id
    inner join {{ ref('local_authority_codes') }} as listed
        on
            areas.la_code = listed.la_code
            and received.return_year >= listed.first_return_year
            and received.return_year <= listed.last_return_year
    group by received.source_kind, received.la_id, received.return_year
),

returns as (
    select
        received.source_kind,
        received.la_id,
        received.return_year
    from received
    left join expected
        on
            received.source_kind = expected.source_kind
            and received.la_id = expected.la_id
            and received.return_year = expected.return_year
    where received.code_count >= coalesce(expected.code_count, 1)
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
