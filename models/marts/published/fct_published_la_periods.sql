-- Every period of every series, by programme: a rate, its sampling error and where it stands to go-live. A year that
-- holds the go-live day is neither before nor after it.
with settings as (
    select
        cast(
            max(case when setting = 'published_minimum_denominator' then value end) as {{ type_double() }}
        ) as minimum_denominator
    from {{ ref('evaluation_settings') }}
),

shown as (
    select
        areas.programme_id,
        periods.series_id,
        periods.la_id,
        periods.period_start_date,
        {{ add_days('periods.period_end_date', -1) }} as period_end_date,
        periods.register_year,
        series.period_months,
        periods.numerator,
        periods.denominator,
        case
            when periods.hidden_because is null
                then series.rate_base * periods.numerator / nullif(periods.denominator, 0)
        end as rate,
        -- Counts of events are taken as Poisson; how absence varies between pupils is not published.
        case
            when periods.hidden_because is null and series.is_count and periods.numerator >= 0
                then series.rate_base * sqrt(periods.numerator) / nullif(periods.denominator, 0)
        end as standard_error,
        periods.hidden_because,
        periods.is_denominator_carried,
        areas.is_treatment_la,
        -- The rate of a few children is chance: too small an LA is no comparator (DECISIONS D76).
        areas.is_matching_candidate
        and coalesce(periods.denominator >= settings.minimum_denominator, false) as is_matching_candidate,
        areas.go_live_date
    from {{ ref('int_published__periods') }} as periods
    inner join {{ ref('published_series') }} as series on periods.series_id = series.series_id
    inner join {{ ref('int_programmes__local_authorities') }} as areas on periods.la_id = areas.la_id
    cross join settings
)

select
    programme_id,
    series_id,
    la_id,
    period_start_date,
    period_end_date,
    register_year,
    numerator,
    denominator,
    rate,
    standard_error,
    hidden_because,
    is_denominator_carried,
    is_treatment_la,
    is_matching_candidate,
    case
        when go_live_date is null then null
        when period_end_date < go_live_date then 'before'
        when period_start_date >= go_live_date then 'after'
        else 'during'
    end as exposure,
    -- 0 is the period of go-live itself, 1 the first one after it.
    cast(
        ceil(
            ({{ month_number('period_start_date') }} - {{ month_number('go_live_date') }}) * 1.0
            / nullif(period_months, 0)
        ) as integer
    ) as relative_period
from shown
