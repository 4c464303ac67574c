{{ config(materialized='table') }}

-- A figure of a continuing area is the sum over the codes that the register has in that year, and is whole only where
-- every one of them has a number: a marker hides the area, it is never 0 (FV.MATCH.1, trap 25, DECISIONS D4).
with figures as (
    select
        published_table,
        measure,
        breakdown,
        month_start_date,
        la_code,
        -- Rates of a year are published on the population of the middle of the calendar year before it ends.
        coalesce(financial_year_end, academic_year_end, mid_year + 1) as register_year,
        value,
        status_marker
    from {{ ref('stg_la__published_figures') }}
),

wanted as (
    select distinct
        published_table,
        measure,
        breakdown
    from {{ ref('published_series_figures') }}
),

placed as (
    select
        figures.*,
        areas.la_id
    from figures
    inner join wanted
        on
            figures.published_table = wanted.published_table
            and figures.measure = wanted.measure
            and (
                figures.breakdown = wanted.breakdown
                or (wanted.breakdown is null and figures.month_start_date is not null)
            )
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on figures.la_code = areas.la_code
),

years as (
    select distinct
        la_id,
        register_year
    from placed
),

registered as (
    select
        years.la_id,
        years.register_year,
        count(distinct codes.la_code) as code_count
    from years
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on years.la_id = areas.la_id
    inner join {{ ref('local_authority_codes') }} as codes
        on
            areas.la_code = codes.la_code
            and years.register_year >= codes.first_return_year
            and years.register_year <= codes.last_return_year
    group by years.la_id, years.register_year
)

select
    placed.published_table,
    placed.measure,
    placed.breakdown,
    placed.month_start_date,
    placed.la_id,
    placed.register_year,
    sum(placed.value) as value_sum,
    count(placed.value) as value_count,
    greatest(count(*), coalesce(max(registered.code_count), 0)) as code_count,
    max(placed.status_marker) as status_marker
from placed
left join registered on placed.la_id = registered.la_id and placed.register_year = registered.register_year
group by
    placed.published_table,
    placed.measure,
    placed.breakdown,
    placed.month_start_date,
    placed.la_id,
    placed.register_year
