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
        sum(case when cpp_end_date is null then 1 else 0 end) over (partition by return_year, la_code, la_child_id)
            as open_count,
        lag(cpp_start_date) over child as previous_start_date,
        max(coalesce(cpp_end_date, {{ add_days(return_year_end('return_year'), 1) }})) over (
            partition by return_year, la_code, la_child_id
            order by cpp_start_date
            rows between unbounded preceding and 1 preceding
        ) as earlier_end_date
    from protection_plans
    window child as (partition by return_year, la_code, la_child_id order by cpp_start_date)
),

-- National extracts hold no conferences: what needs them is checked where a return has some.
conferring_returns as (
    select distinct
        return_year,
        la_code
    from {{ ref('stg_cin__section47') }}
    where initial_conference_date is not null
),

conferences as (
    select distinct
        return_year,
        la_code,
        la_child_id,
        referral_date,
        initial_conference_date
    from {{ ref('stg_cin__section47') }}
    where initial_conference_date is not null
),

reviews as (
    select
        return_year,
        la_code,
        la_child_id,
        cpp_start_date,
        min(review_date) as first_review_date
    from {{ ref('stg_cin__reviews') }}
    group by return_year, la_code, la_child_id, cpp_start_date
),

concurrent as (
    select
        plans.return_year,
        plans.la_code,
        plans.la_child_id,
        plans.cpp_start_date,
        bool_or(
            plans.cpp_start_date >= beside.cin_plan_start_date
            and plans.cpp_start_date < coalesce(beside.cin_plan_end_date, {{ add_days('plans.year_end_date', 1) }})
        ) as starts_within_cin_plan
    from plans
    inner join cin_plans as beside
        on
            plans.return_year = beside.return_year
            and plans.la_code = beside.la_code
            and plans.la_child_id = beside.la_child_id
    group by plans.return_year, plans.la_code, plans.la_child_id, plans.cpp_start_date
)

-- A plan that starts on the day on which another ends neither overlaps nor runs beside it (A.6, traps 7 and 10).
select
    plans.return_year,
    plans.la_code,
    plans.la_child_id,
    plans.cpp_start_date,
    plans.cpp_start_date < plans.referral_date as rule_1105,
    case
        when conferring_returns.la_code is not null and plans.cpp_start_date > plans.last_year_end_date
            then conferences.la_code is null
    end as rule_2885,
    concurrent.starts_within_cin_plan as rule_4017,
    plans.cpp_start_date = plans.cpp_end_date as rule_8840,
    reviews.first_review_date <= plans.cpp_start_date as rule_8841,
    plans.cpp_end_date < plans.cpp_start_date as rule_8925,
    plans.cpp_end_date <= plans.last_year_end_date or plans.cpp_end_date > plans.year_end_date as rule_8930,
    case when plans.cpp_end_date is null then plans.open_count > 1 end as rule_8935,
    case when plans.previous_start_date is not null then plans.earlier_end_date > plans.cpp_start_date end as rule_8940
from plans
left join conferring_returns
    on plans.return_year = conferring_returns.return_year and plans.la_code = conferring_returns.la_code
left join conferences
    on
        plans.return_year = conferences.return_year
        and plans.la_code = conferences.la_code
        and plans.la_child_id = conferences.la_child_id
        and plans.referral_date = conferences.referral_date
        and plans.cpp_start_date = conferences.initial_conference_date
left join reviews
    on
        plans.return_year = reviews.return_year
        and plans.la_code = reviews.la_code
        and plans.la_child_id = reviews.la_child_id
        and plans.cpp_start_date = reviews.cpp_start_date
left join concurrent
    on
        plans.return_year = concurrent.return_year
        and plans.la_code = concurrent.la_code
        and plans.la_child_id = concurrent.la_child_id
        and plans.cpp_start_date = concurrent.cpp_start_date
