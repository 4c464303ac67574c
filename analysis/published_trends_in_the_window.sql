-- How do published figures move inside the matching window, by series and period, in treatment LAs and candidates?
select
    series_id,
    is_treatment_la,
    period_start_date,
    count(*) as la_count,
    round(avg(value), 3) as mean_value,
    round(avg(standardised_value), 3) as mean_standardised_value
from {{ ref('fct_published_trends') }}
group by series_id, is_treatment_la, period_start_date
order by series_id, is_treatment_la, period_start_date
