-- One row per child of this LA: particulars, and the codes under which its LA reports it. A reorganised LA's
-- children move to a successor, half of them under a new code; a change of system in 2020 gives a few a new code.
create or replace temp table person as
with steps as (
  select count(*) as places from successor
)
select
  c.number,
  day_of(c.birth_day) as birth_date,
  year(day_of(c.birth_day)) as birth_year,
  month(day_of(c.birth_day)) as birth_month,
  return_year((day_of(c.birth_day) + interval 54 month)::date) as pupil_from_year,
  coalesce(s.first_year, 9999) as successor_year,
  s.la_code as successor_code,
  case when c.has_new_id then 2020 else 9999 end as second_from_year,
  case when c.number % 2 = 0 then coalesce(s.first_year, 9999) else 9999 end as third_from_year,
  child_code(la.la_code, la.seed, c.number, 0) as first_code,
  case when c.has_new_id then child_code(la.la_code, la.seed, c.number, 1) end as second_code,
  case when c.number % 2 = 0 and s.la_code is not null then child_code(la.la_code, la.seed, c.number, 2) end as third_code,
  case when c.has_pupil_link then pupil_code(la.la_code, la.seed, c.number) end as pupil_id,
  school_year(day_of(c.first_day)) - 1 as first_school_year,
  school_year(day_of(c.last_day)) + 2 as last_school_year,
  e.code as ethnicity,
  c.is_male, c.is_disabled, c.is_uasc, c.is_fsm, c.is_ethnicity_missing, c.is_mover, c.gender_conflict,
  c.unsure, c.earlier_plans, c.first_day
from child as c
cross join la
cross join steps
inner join ethnicity_list as e on e.position = c.ethnicity
left join successor as s on s.place = c.number % greatest(steps.places, 1);

-- Referrals as they are lived. Children who move have one more in another LA, under a code of that LA.
create or replace temp table lived_referral as
select
  r.child as number,
  null::varchar as elsewhere,
  day_of(r.day) as referral_date,
  r.is_nfa,
  r.is_not_in_need,
  'N' || r.need as need,
  s.code as referral_source,
  case when not r.is_nfa then day_of(r.closure) end as closure_date,
  case when r.cpp_with then day_of(r.cpp_start) end as cpp_start_date,
  case when r.cpp_with then day_of(r.cpp_end_with) end as cpp_end_date,
  case when not r.is_nfa and not r.is_not_in_need then day_of(r.plan_start) end as plan_start_date,
  case when not r.is_nfa and not r.is_not_in_need
    then day_of(case when r.cpp_with then least(r.plan_end_with, r.cpp_start) else r.plan_end_with end)
  end as plan_end_date
from referral as r
inner join source_list as s on s.position = r.source
union all
select
  p.number, la.other_la, day_of(p.first_day + 120 + p.number % 300), false, false, 'N1', '5C',
  day_of(p.first_day + 180 + p.number % 300), null, null, null, null
from person as p
cross join la
where p.is_mover
  and day_of(p.first_day + 120 + p.number % 300) < least(p.birth_date + 6500, date '2022-01-08');
