{{ config(materialized='table') }}

-- A series of an area: its figures added up by period, over its population or over figures of its own. A period with
-- one figure hidden or missing has no number.
with listed as (
    select
        figures.series_id,
        figures.part,
        figures.published_table,
        figures.measure,
        figures.breakdown,
        figures.factor,
        series.frequency,
        series.period_months,
        count(*) over (partition by figures.series_id, figures.part) as figure_count
    from {{ ref('published_series_figures') }} as figures
    inner join {{ ref('published_series') }} as series on figures.series_id = series.series_id
),

cells as (
    select
        listed.*,
        areas.la_id,
        areas.register_year,
        case listed.frequency
            when 'quarter' then {{ quarter_start('areas.month_start_date') }}
            when 'school_year' then {{ school_year_start('areas.register_year') }}
            else {{ add_days(return_year_end('areas.register_year - 1'), 1) }}
        end as period_start_date,
        areas.value_sum,
        areas.value_count,
        areas.code_count,
        areas.status_marker
    from listed
    inner join {{ ref('int_published__area_figures') }} as areas
        on
            listed.published_table = areas.published_table
            and listed.measure = areas.measure
            and (
                listed.breakdown = areas.breakdown
                or (listed.breakdown is null and areas.month_start_date is not null)
            )
),

-- A quarter of monthly figures needs its three months; the population of a year serves all its quarters.
numerators as (
    select
        series_id,
        la_id,
        register_year,
        period_start_date,
        {{ add_months('period_start_date', 'max(period_months)') }} as period_end_date,
        sum(factor * value_sum) as numerator_sum,
        sum(value_count) = sum(code_count)
        and count(*) = max(figure_count) * max(case when frequency = 'quarter' then period_months else 1 end)
            as is_whole,
        max(status_marker) as status_marker
    from cells
    where part = 'numerator'
    group by series_id, la_id, register_year, period_start_date
),

denominators as (
    select
        series_id,
        la_id,
        register_year,
        case
            when sum(value_count) = sum(code_count) and count(*) = max(figure_count) then sum(factor * value_sum)
        end as denominator,
        max(status_marker) as status_marker,
        max(published_table) = 'population' as is_population
    from cells
    where part = 'denominator'
    group by series_id, la_id, register_year
),

-- Populations of LAs that no longer exist are not published: the nearest year of the whole area stands in, and is
-- marked, because a number of children moves by little in a year (DECISIONS D75).
nearest as (
    select
        numerators.series_id,
        numerators.la_id,
        numerators.register_year,
        denominators.denominator,
        row_number() over (
            partition by numerators.series_id, numerators.la_id, numerators.register_year
            order by
                abs(denominators.register_year - numerators.register_year),
                denominators.register_year
        ) as nearness
    from (
        select distinct
            series_id,
            la_id,
            register_year
        from numerators
    ) as numerators
    inner join denominators
        on
            numerators.series_id = denominators.series_id
            and numerators.la_id = denominators.la_id
            and denominators.is_population
            and denominators.denominator is not null
)

select
    numerators.series_id,
    numerators.la_id,
    numerators.register_year,
    numerators.period_start_date,
    numerators.period_end_date,
    case when numerators.is_whole then numerators.numerator_sum end as numerator,
    coalesce(denominators.denominator, nearest.denominator) as denominator,
    denominators.denominator is null and nearest.denominator is not null as is_denominator_carried,
    case
        when not numerators.is_whole then coalesce(numerators.status_marker, 'no figure')
        when coalesce(denominators.denominator, nearest.denominator) is null
            then coalesce(denominators.status_marker, 'no figure')
    end as hidden_because
from numerators
left join denominators
    on
        numerators.series_id = denominators.series_id
        and numerators.la_id = denominators.la_id
        and numerators.register_year = denominators.register_year
left join nearest
    on
        numerators.series_id = nearest.series_id
        and numerators.la_id = nearest.la_id
        and numerators.register_year = nearest.register_year
        and nearest.nearness = 1
