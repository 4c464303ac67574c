-- What matching on published figures may see: whole periods inside the window of the LA itself, if treated, or of any
-- treatment LA, if a candidate. Named and shaped as the trends of the children's own data (FV.MATCH.2, FV.MATCH.3).
with windows as (
    select
        areas.programme_id,
        areas.la_id,
        series.series_id,
        areas.go_live_date,
        coalesce(series.matching_start_months, programmes.matching_start_months) as start_months,
        coalesce(series.matching_end_months, programmes.matching_end_months) as end_months
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join {{ ref('programmes') }} as programmes on areas.programme_id = programmes.programme_id
    cross join {{ ref('published_series') }} as series
    where areas.is_treatment_la and series.series_id is not null
),

figures as (
    select * from {{ ref('fct_published_la_periods') }}
    where rate is not null and (is_treatment_la or is_matching_candidate)
),

seen as (
    select distinct
        figures.programme_id,
        figures.series_id,
        figures.la_id,
        figures.period_start_date
    from figures
    inner join windows
        on
            figures.programme_id = windows.programme_id
            and figures.series_id = windows.series_id
            and (figures.la_id = windows.la_id or figures.is_matching_candidate)
            and figures.period_start_date >= {{ add_months('windows.go_live_date', '-windows.start_months') }}
            and figures.period_end_date < {{ add_months('windows.go_live_date', '-windows.end_months') }}
),

-- The scale of a period is that of treatment LAs and of candidates, which are large enough (DECISIONS D16, D76).
scales as (
    select
        figures.programme_id,
        figures.series_id,
        figures.period_start_date,
        avg(figures.rate) as mean_rate,
        stddev_samp(figures.rate) as spread
    from figures
    group by figures.programme_id, figures.series_id, figures.period_start_date
),

standardised as (
    select
        figures.*,
        series.period_months,
        (figures.rate - scales.mean_rate) / nullif(scales.spread, 0) as standardised_value,
        figures.standard_error / nullif(scales.spread, 0) as value_standard_error
    from figures
    inner join seen
        on
            figures.programme_id = seen.programme_id
            and figures.series_id = seen.series_id
            and figures.la_id = seen.la_id
            and figures.period_start_date = seen.period_start_date
    inner join scales
        on
            figures.programme_id = scales.programme_id
            and figures.series_id = scales.series_id
            and figures.period_start_date = scales.period_start_date
    inner join {{ ref('published_series') }} as series on figures.series_id = series.series_id
)

-- A change needs the period right before it; its sampling error is that of two independent rates.
select
    this_period.programme_id,
    this_period.series_id,
    this_period.la_id,
    this_period.period_start_date,
    this_period.period_end_date,
    cast(
        ({{ month_number('this_period.period_start_date') }} - {{ month_number("cast('2000-01-01' as date)") }})
        / nullif(this_period.period_months, 0) as integer
    ) as period_number,
    this_period.numerator,
    this_period.denominator,
    this_period.rate as value,
    this_period.standardised_value,
    this_period.value_standard_error,
    this_period.standardised_value - last_period.standardised_value as standardised_change,
    sqrt(
        this_period.value_standard_error * this_period.value_standard_error
        + last_period.value_standard_error * last_period.value_standard_error
    ) as change_standard_error,
    this_period.is_treatment_la,
    this_period.is_matching_candidate
from standardised as this_period
left join standardised as last_period
    on
        this_period.programme_id = last_period.programme_id
        and this_period.series_id = last_period.series_id
        and this_period.la_id = last_period.la_id
        and this_period.period_start_date
        = {{ add_months('last_period.period_start_date', 'last_period.period_months') }}
