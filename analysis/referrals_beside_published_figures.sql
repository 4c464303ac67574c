-- How many referrals does each LA have a month, and how far is that from the published figure where one was landed?
select
    areas.la_name,
    months.la_code,
    months.month_start_date,
    months.referral_count,
    months.published_count,
    round(months.difference_pct, 1) as difference_pct
from {{ ref('fct_referrals_by_month') }} as months
inner join {{ ref('dim_local_authorities') }} as areas on months.la_id = areas.la_id
order by areas.la_name, months.la_code, months.month_start_date
