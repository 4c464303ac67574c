-- The flat CIN table: child x referral x plan x year, repeated in every return while the referral is open.
with spell as (
  select
    l.*,
    p.earlier_plans + coalesce(sum((l.cpp_start_date is not null)::integer) over earlier, 0) as previous_cpps,
    greatest(return_year(l.referral_date), first_covered_year()) as first_year,
    case
      when l.is_nfa then return_year(l.referral_date)
      else return_year(least(l.closure_date, last_day_covered()))
    end as last_year
  from lived_referral as l
  inner join person as p on p.number = l.number
  where l.referral_date <= last_day_covered()
  window earlier as (
    partition by l.number order by l.referral_date, l.elsewhere nulls first
    rows between unbounded preceding and 1 preceding
  )
),
reported as (
  select *, unnest(range(first_year, last_year + 1))::integer as y
  from spell
  where last_year >= first_year
),
-- Ended plans are not repeated in later returns; CIN plans are collected from the return of 2021/22 on.
visible as (
  select
    r.*,
    case when return_year(r.closure_date) = r.y then r.closure_date end as shown_closure,
    r.cpp_start_date is not null
      and return_year(r.cpp_start_date) <= r.y and return_year(r.cpp_end_date) >= r.y as shows_cpp,
    r.plan_start_date is not null and r.plan_end_date > r.plan_start_date and r.y >= 2022
      and return_year(r.plan_start_date) <= r.y and return_year(r.plan_end_date) >= r.y as shows_plan
  from reported as r
),
lines as (
  select
    v.*,
    unnest(
      case
        when v.shows_cpp and v.shows_plan then ['cpp', 'plan']
        when v.shows_cpp then ['cpp']
        when v.shows_plan then ['plan']
        else ['none']
      end
    ) as line
  from visible as v
),
known as (
  select
    v.*,
    p.* exclude (number),
    p.birth_date > least(
      year_end(v.y),
      coalesce(v.shown_closure, year_end(v.y)),
      case when v.is_nfa then v.referral_date else year_end(v.y) end
    ) as is_unborn
  from lines as v
  inner join person as p on p.number = v.number
)
select
  (k.y - 1) || '/' || k.y as CIN_ACADYR,
  case
    when k.elsewhere is not null then k.elsewhere
    when k.y >= k.successor_year then k.successor_code
    else la.la_code
  end as CIN_LA,
  case
    when k.elsewhere is not null then child_code(k.elsewhere, la.seed, k.number, 'moved' || la.la_code)
    when k.y >= k.third_from_year then k.third_code
    when k.y >= k.second_from_year then k.second_code
    else k.first_code
  end as CIN_LAchildID_Anon,
  case when k.y >= k.pupil_from_year then k.pupil_id end as CIN_PupilMatchingRefAnonymous,
  case when not k.is_unborn then k.birth_year end::integer as CIN_YearOfBirth,
  case when not k.is_unborn then k.birth_month end::integer as CIN_MonthOfBirth,
  case when k.is_unborn then k.birth_date end as CIN_ExpectedDOB,
  case when k.is_unborn then '1' else '0' end as CIN_UNBORN,
  case
    when k.is_unborn then case when k.y >= 2025 then 'U' else '0' end
    when k.y >= 2025 then case when k.is_male then 'M' else 'F' end
    when k.is_male <> (k.gender_conflict and k.y % 2 = 0) then '1'
    else '2'
  end as CIN_Gender,
  case
    when k.is_unborn then 'NOBT'
    when k.is_ethnicity_missing
      then case when k.unsure < 0.6 then 'NOBT' when k.unsure < 0.9 then 'REFU' end
    when k.unsure < 0.08 and k.y % 3 = 0 then 'NOBT'
    when k.unsure > 0.995 and k.y % 2 = 0 then 'OOTH'
    else k.ethnicity
  end as CIN_Ethnicity,
  case
    when k.is_unborn then null
    when k.is_disabled and (k.unsure < 0.9 or k.y % 2 = 0) then '1'
    else '0'
  end as CIN_Disability,
  k.referral_date as CIN_ReferralDate,
  k.referral_source as CIN_ReferralSource,
  case when k.is_nfa then '1' else '0' end as CIN_ReferralNFA,
  case when not k.is_nfa then k.need end as CIN_PrimaryNeedCode,
  k.shown_closure as CIN_CINClosureDate,
  case
    when k.shown_closure is null then null
    when k.elsewhere is not null or not k.is_not_in_need then 'RC7'
    when k.y >= 2023 and k.number % 5 < 2 then 'RC9'
    else 'RC8'
  end as CIN_ReasonForClosure,
  case when k.line = 'cpp' then k.cpp_start_date end as CIN_CPPstartDate,
  case when k.line = 'cpp' and return_year(k.cpp_end_date) = k.y then k.cpp_end_date end as CIN_CPPendDate,
  case when k.line = 'cpp' then ['NEG', 'EMO', 'PHY', 'SAB', 'MUL'][1 + k.number % 5] end
    as CIN_InitialCategoryOfAbuse,
  case when k.line = 'cpp' then k.previous_cpps end::integer as CIN_NumberOfPreviousCPP,
  case when k.line = 'plan' then k.plan_start_date end as CIN_CINPlanStartDate,
  case when k.line = 'plan' and return_year(k.plan_end_date) = k.y then k.plan_end_date end as CIN_CINPlanEndDate
from known as k
cross join la
where not list_contains(la.missing_years, k.y)
order by k.y, k.number, k.referral_date, k.elsewhere nulls first, k.line
