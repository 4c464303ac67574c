-- How do published rates of each treatment LA move by year since go-live, beside the mean of LAs that may be compared?
with others as (
    select
        programme_id,
        series_id,
        period_start_date,
        avg(rate) as mean_rate
    from {{ ref('fct_published_la_periods') }}
    where is_matching_candidate
    group by programme_id, series_id, period_start_date
)

select
    series.label,
    areas.la_name,
    periods.period_start_date,
    periods.relative_period,
    round(periods.rate, 1) as rate,
    round(others.mean_rate, 1) as candidates_mean_rate,
    periods.hidden_because
from {{ ref('fct_published_la_periods') }} as periods
inner join {{ ref('dim_published_series') }} as series on periods.series_id = series.series_id
inner join {{ ref('dim_published_areas') }} as areas
    on periods.programme_id = areas.programme_id and periods.la_id = areas.la_id
left join others
    on
        periods.programme_id = others.programme_id
        and periods.series_id = others.series_id
        and periods.period_start_date = others.period_start_date
where periods.is_treatment_la and series.is_estimated
order by series.label, areas.la_name, periods.period_start_date
