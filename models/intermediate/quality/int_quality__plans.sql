{{ config(materialized='table') }}

-- Plans as one return has them, whoever the child under the code is: the rules of the DfE know codes only.
select
    'child protection plan' as plan_kind,
    return_year,
    la_code,
    la_child_id,
    cpp_start_date as plan_start_date,
    min(referral_date) as referral_date,
    max(cpp_end_date) as plan_end_date
from {{ ref('stg_cin__records') }}
where cpp_start_date is not null
group by return_year, la_code, la_child_id, cpp_start_date
union all
select
    'CIN plan' as plan_kind,
    return_year,
    la_code,
    la_child_id,
    cin_plan_start_date as plan_start_date,
    min(referral_date) as referral_date,
    max(cin_plan_end_date) as plan_end_date
from {{ ref('stg_cin__records') }}
where cin_plan_start_date is not null
group by return_year, la_code, la_child_id, cin_plan_start_date
