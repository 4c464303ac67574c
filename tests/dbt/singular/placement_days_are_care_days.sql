-- FV.CBA.1: the days of all placements of an area and year are the days of its periods of care in that year, counted
-- from the periods alone: none lost between two episodes, none counted twice.
with years as (
    select
        la_id,
        first_return_year as return_year,
        {{ add_days(return_year_end('first_return_year - 1'), 1) }} as year_start_date,
        {{ add_days(return_year_end('first_return_year'), 1) }} as year_end_date
    from {{ ref('int_programmes__coverage') }}
    where source_kind = 'cla' and first_return_year = last_return_year
),

expected as (
    select
        years.la_id,
        years.return_year,
        sum({{ days_between(
            'greatest(periods.care_start_date, years.year_start_date)',
            'least(coalesce(periods.care_end_date, years.year_end_date), years.year_end_date)'
        ) }}) as care_day_count
    from years
    inner join {{ ref('int_spells__care_periods') }} as periods
        on
            years.la_id = periods.la_id
            and years.year_end_date > periods.care_start_date
            and (periods.care_end_date is null or years.year_start_date < periods.care_end_date)
    group by years.la_id, years.return_year
),

counted as (
    select
        la_id,
        return_year,
        sum(care_day_count) as care_day_count
    from {{ ref('fct_placement_mix') }}
    group by la_id, return_year
)

select
    expected.la_id,
    expected.return_year,
    expected.care_day_count as days_of_periods,
    counted.care_day_count as days_of_placements
from expected
left join counted on expected.la_id = counted.la_id and expected.return_year = counted.return_year
where expected.care_day_count > 0 and expected.care_day_count <> coalesce(counted.care_day_count, 0)
