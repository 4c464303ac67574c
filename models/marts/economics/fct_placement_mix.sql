-- Days of care by kind of placement, in financial years in which every code of the area returned its care: in others
-- children who left early would be missing (FV.CBA.1, FV.SAMPLE.5).
with years as (
    select
        coverage.la_id,
        coverage.first_return_year as return_year,
        {{ add_days(return_year_end('coverage.first_return_year - 1'), 1) }} as year_start_date,
        {{ add_days(return_year_end('coverage.first_return_year'), 1) }} as year_end_date
    from {{ ref('int_programmes__coverage') }} as coverage
    where coverage.source_kind = 'cla' and coverage.first_return_year = coverage.last_return_year
),

stays as (
    select
        years.la_id,
        years.return_year,
        placements.child_key,
        coalesce(placement_groups.placement_group, 'not_known') as placement_group,
        {{ days_between(
            'greatest(placements.placement_start_date, years.year_start_date)',
            'least(coalesce(placements.placement_end_date, years.year_end_date), years.year_end_date)'
        ) }} as day_count
    from years
    inner join {{ ref('int_spells__placements') }} as placements
        on
            years.la_id = placements.la_id
            and years.year_end_date > placements.placement_start_date
            and (placements.placement_end_date is null or years.year_start_date < placements.placement_end_date)
    left join {{ ref('placement_groups') }} as placement_groups
        on placements.placement_code = placement_groups.placement_code
),

counted as (
    select
        la_id,
        return_year,
        placement_group,
        cast(sum(day_count) as bigint) as care_day_count,
        count(distinct child_key) as children_count
    from stays
    where day_count > 0
    group by la_id, return_year, placement_group
)

select
    la_id,
    return_year,
    {{ financial_year_label('return_year') }} as financial_year,
    placement_group,
    care_day_count,
    children_count,
    cast(100.0 * care_day_count as {{ type_double() }})
    / nullif(sum(care_day_count) over (partition by la_id, return_year), 0) as care_days_pct
from counted
