{{ config(materialized='table') }}

with reports as (
    select
        identities.la_id,
        identities.child_key,
        plans.*
    from {{ ref('stg_cin__child_protection_plans') }} as plans
    {{ join_identities('plans', "'CIN'", 'plans.birth_month_number', 'plans.is_unborn_report') }}
),

end_years as (
    select
        la_id,
        child_key,
        cpp_start_date,
        max(case when cpp_end_date is not null then return_year end) as end_year,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from reports
    group by la_id, child_key, cpp_start_date
)

-- Ended plans are not repeated in later returns: plans of all years are united (trap 2).
select
    reports.la_id,
    reports.child_key,
    reports.cpp_start_date,
    min(reports.referral_date) as referral_date,
    max(reports.last_referral_date) as last_referral_date,
    max(case when reports.return_year = end_years.end_year then reports.cpp_end_date end) as cpp_end_date,
    max(case when reports.return_year = end_years.first_return_year then reports.cpp_previous_count end)
        as reported_previous_count,
    max(end_years.last_return_year) as last_return_year
from reports
inner join end_years
    on
        reports.la_id = end_years.la_id
        and reports.child_key = end_years.child_key
        and reports.cpp_start_date = end_years.cpp_start_date
group by reports.la_id, reports.child_key, reports.cpp_start_date
