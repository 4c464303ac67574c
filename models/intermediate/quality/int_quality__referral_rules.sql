with referrals as (
    select
        return_year,
        la_code,
        la_child_id,
        referral_date,
        bool_and(is_nfa) as is_nfa,
        min(primary_need_code) as primary_need_code,
        max(closure_date) as closure_date,
        max(closure_reason_code) as closure_reason_code,
        min(case when birth_month between 1 and 12 then birth_year end) as birth_year,
        min(birth_month) as birth_month,
        bool_or(cpp_start_date is not null) as has_cpp,
        bool_or(cin_plan_start_date is not null) as has_cin_plan,
        max(greatest(cpp_end_date, cin_plan_start_date, cin_plan_end_date)) as last_plan_date
    from {{ ref('stg_cin__records') }}
    group by return_year, la_code, la_child_id, referral_date
),

assessments as (
    select
        return_year,
        la_code,
        la_child_id,
        referral_date,
        max(greatest(assessment_start_date, assessment_authorisation_date)) as last_assessment_date
    from {{ ref('stg_cin__assessments') }}
    group by return_year, la_code, la_child_id, referral_date
),

-- National extracts hold no assessments: what needs them is checked where a return has some.
assessing_returns as (
    select distinct
        return_year,
        la_code
    from {{ ref('stg_cin__assessments') }}
),

enquiries as (
    select
        return_year,
        la_code,
        la_child_id,
        referral_date,
        max(greatest(enquiry_start_date, initial_conference_date)) as last_enquiry_date
    from {{ ref('stg_cin__section47') }}
    group by return_year, la_code, la_child_id, referral_date
),

joined as (
    select
        referrals.*,
        {{ return_year_end('referrals.return_year') }} as year_end_date,
        {{ add_days(return_year_end('referrals.return_year - 1'), 1) }} as year_start_date,
        assessments.la_code is not null as has_assessment,
        assessing_returns.la_code is not null as is_assessing_return,
        enquiries.la_code is not null as has_enquiry,
        greatest(referrals.last_plan_date, assessments.last_assessment_date, enquiries.last_enquiry_date)
            as last_activity_date,
        reasons.closure_reason_code is not null as is_known_reason,
        coalesce(not reasons.is_episode_of_need, false) as is_closed_as_not_in_need
    from referrals
    left join assessments
        on
            referrals.return_year = assessments.return_year
            and referrals.la_code = assessments.la_code
            and referrals.la_child_id = assessments.la_child_id
            and referrals.referral_date = assessments.referral_date
    left join assessing_returns
        on referrals.return_year = assessing_returns.return_year and referrals.la_code = assessing_returns.la_code
    left join enquiries
        on
            referrals.return_year = enquiries.return_year
            and referrals.la_code = enquiries.la_code
            and referrals.la_child_id = enquiries.la_child_id
            and referrals.referral_date = enquiries.referral_date
    left join {{ ref('closure_reason_codes') }} as reasons
        on
            referrals.closure_reason_code = reasons.closure_reason_code
            and referrals.return_year >= coalesce(reasons.first_return_year, referrals.return_year)
),

spans as (
    select
        *,
        lag(referral_date) over child as previous_referral_date,
        last_value(referral_date) over (
            partition by return_year, la_code, la_child_id
            order by referral_date
            rows between unbounded preceding and unbounded following
        ) as latest_referral_date,
        max(
            coalesce(closure_date, case when not is_nfa then {{ add_days('year_end_date', 1) }} end)
        ) over (
            partition by return_year, la_code, la_child_id
            order by referral_date
            rows between unbounded preceding and 1 preceding
        ) as earlier_end_date
    from joined
    window child as (partition by return_year, la_code, la_child_id order by referral_date)
)

-- One column per rule: true where broken, false where kept, null where the rule does not apply (A.5, A.6).
select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    case when closure_date is not null then coalesce(last_activity_date > closure_date, false) end as rule_8565,
    -- One working day before the collection starts: with Easter on it, that is up to five days.
    case when referral_date < {{ add_days('year_start_date', -5) }} then is_nfa end as rule_8569q,
    referral_date > year_end_date as rule_8600,
    -- The day of birth is not held: broken where even the first of the month lies more than 40 weeks ahead.
    case
        when birth_year between 1900 and 2200
            then make_date(birth_year, birth_month, 1) > {{ add_days('referral_date', 280) }}
    end as rule_8606,
    case when not is_nfa then primary_need_code is null end as rule_8610,
    closure_date < year_start_date or closure_date > year_end_date as rule_8620,
    closure_date < referral_date as rule_8630,
    case when closure_reason_code is not null then not is_known_reason end as rule_8640,
    case when closure_date is not null then closure_reason_code is null end as rule_8805,
    case when closure_reason_code is not null then closure_date is null end as rule_8810,
    case when closure_date is null and not is_nfa then referral_date < latest_referral_date end as rule_8816,
    -- A referral on the day on which the last one closed is a new referral, not an overlap (trap 11).
    case when previous_referral_date is not null then coalesce(earlier_end_date > referral_date, false) end
        as rule_8820,
    case when is_closed_as_not_in_need and is_assessing_return then not has_assessment end as rule_8825q,
    case when is_nfa then has_assessment or has_enquiry end as rule_8831,
    case when is_nfa then has_cpp end as rule_8832,
    case when is_closed_as_not_in_need then has_enquiry or has_cpp or has_cin_plan end as rule_2990,
    case when is_nfa then has_cin_plan end as rule_4000
from spans
