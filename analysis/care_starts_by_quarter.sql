-- How many children start to be looked after each quarter (short breaks apart)?
select
    areas.la_name,
    cast(date_trunc('quarter', periods.care_start_date) as date) as quarter_start_date,
    count(*) as care_starts
from {{ ref('fct_care_periods') }} as periods
inner join {{ ref('dim_local_authorities') }} as areas on periods.la_id = areas.la_id
group by areas.la_name, cast(date_trunc('quarter', periods.care_start_date) as date)
order by areas.la_name, quarter_start_date
