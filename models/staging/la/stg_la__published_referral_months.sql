with figures as (
    {{ governed_source('la', 'published_figures', key='none') }}
),

-- A month stands in the name of the figure or in its breakdown, depending on how the table is laid out.
months as (
    {% for name in [
        'january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november',
        'december'
    ] %}
    select
        '{{ name }}' as month_name,
        {{ loop.index }} as month_number
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

tidied as (
    select
        figures.la_code,
        cast(figures.time_period as integer) as return_year,
        months.month_number,
        trim(figures.value) as value
    from figures
    inner join months
        on lower(trim(figures.measure)) = months.month_name or lower(trim(figures.breakdown)) = months.month_name
    where figures.published_table = 'c6' and figures.la_code is not null
)

-- Months to December belong to the calendar year before the one that names the return. A marker is not a number and
-- never 0 (trap 25).
select
    la_code,
    make_date(return_year - case when month_number >= 4 then 1 else 0 end, month_number, 1) as month_start_date,
    case when value not in ('c', 'x', 'z', 'u', '-', 'k', '') then cast(value as {{ type_double() }}) end
        as published_count,
    case when value in ('c', 'x', 'z', 'u', '-', 'k') then value end as marker
from tidied
