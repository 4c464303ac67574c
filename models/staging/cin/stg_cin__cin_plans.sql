select
    return_year,
    la_code,
    la_child_id,
    birth_month_number,
    is_unborn_report,
    cin_plan_start_date,
    min(referral_date) as referral_date,
    max(referral_date) as last_referral_date,
    max(cin_plan_end_date) as cin_plan_end_date
from {{ ref('stg_cin__records') }}
where cin_plan_start_date is not null
group by return_year, la_code, la_child_id, birth_month_number, is_unborn_report, cin_plan_start_date
