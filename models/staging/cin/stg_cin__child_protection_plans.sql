select
    return_year,
    la_code,
    la_child_id,
    birth_month_number,
    is_unborn_report,
    cpp_start_date,
    min(referral_date) as referral_date,
    max(referral_date) as last_referral_date,
    max(cpp_end_date) as cpp_end_date,
    max(cpp_previous_count) as cpp_previous_count
from {{ ref('stg_cin__records') }}
where cpp_start_date is not null
group by return_year, la_code, la_child_id, birth_month_number, is_unborn_report, cpp_start_date
