with figures as (
    {{ governed_source('la', 'published_figures', key='none') }}
),

tidied as (
    select
        published_table,
        la_code,
        ons_code,
        time_period,
        breakdown,
        measure,
        trim(value) as published_text,
        trim(value) in ('c', 'x', 'z', 'u', '-', 'k') as is_marker,
        case length(time_period) when 4 then cast(time_period as integer) end as single_year,
        case length(time_period) when 6 then cast(left(time_period, 4) as integer) + 1 end as academic_year_end
    from figures
),

codes as (
    select distinct
        ons_code,
        la_code
    from {{ ref('local_authority_codes') }}
),

months as (
    select
        tidied.*,
        case
            when tidied.published_table = 'c6' and tidied.breakdown <> 'Total'
                then case tidied.breakdown
                    when 'January' then 1 when 'February' then 2 when 'March' then 3 when 'April' then 4
                    when 'May' then 5 when 'June' then 6 when 'July' then 7 when 'August' then 8
                    when 'September' then 9 when 'October' then 10 when 'November' then 11 when 'December' then 12
                end
        end as month_number
    from tidied
)

-- An LA is its code, never its name; the ONS code serves where a table has no other. A marker (c, x, z, u, -, k) is
-- not a number and never 0 (trap 25). Mid-year populations are of a calendar year, all other single years are
-- financial years by the year in which they end.
select
    months.published_table,
    coalesce(months.la_code, codes.la_code) as la_code,
    months.time_period,
    case when months.published_table <> 'population' then months.single_year end as financial_year_end,
    months.academic_year_end,
    case when months.published_table = 'population' then months.single_year end as mid_year,
    months.breakdown,
    months.month_number,
    case
        when months.month_number is not null
            then make_date(
                case when months.month_number >= 4 then months.single_year - 1 else months.single_year end,
                months.month_number,
                1
            )
    end as month_start_date,
    months.measure,
    case when not months.is_marker then cast(months.published_text as {{ type_double() }}) end as value,
    case when months.is_marker then months.published_text end as status_marker
from months
left join codes on months.ons_code = codes.ons_code
