with protection_plans as (
    select
        return_year,
        la_code,
        la_child_id,
        plan_start_date as cpp_start_date,
        referral_date,
        plan_end_date as cpp_end_date
    from {{ ref('int_quality__plans') }}
    where plan_kind = 'child protection plan'
),

cin_plans as (
    select
        return_year,
        la_code,
        la_child_id,
        plan_start_date as cin_plan_start_date,
        referral_date,
        plan_end_date as cin_plan_end_date
    from {{ ref('int_quality__plans') }}
    where plan_kind = 'CIN plan'
),

plans as (
    select
        *,
        {{ return_year_end('return_year') }} as year_end_date,
        {{ return_year_end('return_year - 1') }} as last_year_end_date,
        sum(case when cin_plan_end_date is null then 1 else 0 end) over (
            partition by return_year, la_code, la_child_id
        ) as open_count,
        lag(cin_plan_start_date) over child as previous_start_date,
        max(coalesce(cin_plan_end_date, {{ add_days(return_year_end('return_year'), 1) }})) over (
            partition by return_year, la_code, la_child_id
            order by cin_plan_start_date
            rows between unbounded preceding and 1 preceding
        ) as earlier_end_date
    from cin_plans
    window child as (partition by return_year, la_code, la_child_id order by cin_plan_start_date)
),

concurrent as (
    select
        plans.return_year,
        plans.la_code,
        plans.la_child_id,
        plans.cin_plan_start_date,
        bool_or(
            plans.cin_plan_end_date is null
            and beside.cpp_end_date is null
            and plans.referral_date = beside.referral_date
        ) as is_open_beside,
        bool_or(
            plans.cin_plan_start_date >= beside.cpp_start_date
            and plans.cin_plan_start_date < coalesce(beside.cpp_end_date, {{ add_days('plans.year_end_date', 1) }})
        ) as starts_within
    from plans
    inner join protection_plans as beside
        on
            plans.return_year = beside.return_year
            and plans.la_code = beside.la_code
            and plans.la_child_id = beside.la_child_id
    group by plans.return_year, plans.la_code, plans.la_child_id, plans.cin_plan_start_date
)

select
    plans.return_year,
    plans.la_code,
    plans.la_child_id,
    plans.cin_plan_start_date,
    concurrent.is_open_beside as rule_4001,
    case when plans.cin_plan_end_date is null then plans.open_count > 1 end as rule_4004,
    plans.cin_plan_end_date < plans.cin_plan_start_date as rule_4011,
    plans.cin_plan_end_date = plans.cin_plan_start_date as rule_4012q,
    plans.cin_plan_end_date <= plans.last_year_end_date
    or plans.cin_plan_end_date > plans.year_end_date as rule_4013,
    case when plans.previous_start_date is not null then plans.earlier_end_date > plans.cin_plan_start_date end
        as rule_4014,
    plans.cin_plan_start_date < plans.referral_date as rule_4015,
    concurrent.starts_within as rule_4016
from plans
left join concurrent
    on
        plans.return_year = concurrent.return_year
        and plans.la_code = concurrent.la_code
        and plans.la_child_id = concurrent.la_child_id
        and plans.cin_plan_start_date = concurrent.cin_plan_start_date
