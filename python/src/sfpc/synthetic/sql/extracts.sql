-- Who reports a child in a return year, and under which code: a successor after a reorganisation, and a
-- new code for a few children (a change of system in 2020; half the children of a reorganised LA).
create or replace temp table reporting as
select c.number, y.y as return_year,
  coalesce(s.la_code, la.la_code) as la_code,
  child_code(
    la.la_code, la.seed, c.number,
    case when s.la_code is not null and c.number % 2 = 0 then 2 when c.has_new_id and y.y >= 2020 then 1 else 0 end
  ) as la_child_id,
  case when c.has_pupil_link and year_end(y.y) >= day_of(c.birth_day) + interval 54 month
    then pupil_code(la.la_code, la.seed, c.number) end as pupil_id
from child c cross join la cross join (select unnest(range(2016, 2026)) as y) y
left join successor s on y.y >= s.first_year and s.place = c.number % (select greatest(count(*), 1) from successor)
where not list_contains(la.missing_years, y.y);

create or replace temp table lived_referral as
select r.child as number, null::varchar as elsewhere, day_of(r.day) as referral_date, r.is_nfa, r.is_not_in_need,
  'N' || r.need as need, src.code as referral_source,
  case when not r.is_nfa then day_of(greatest(r.closed_with, coalesce(k.stop, 0))) end as closure_date,
  case when r.cpp_with then day_of(r.cpp_start) end as cpp_start_date,
  case when r.cpp_with then day_of(r.cpp_end_with) end as cpp_end_date,
  case when not r.is_nfa and not r.is_not_in_need then day_of(r.plan_start) end as plan_start_date,
  case when not r.is_nfa and not r.is_not_in_need
    then day_of(case when r.cpp_with then least(r.plan_end_with, r.cpp_start) else r.plan_end_with end) end as plan_end_date,
  case when c.effect_share > 0 then r.cpp_with else r.cpp_without end as has_cpp
from (
  select * replace (
    case when ch.effect_share > 0 then cpp_with else cpp_without end as cpp_with,
    case when ch.effect_share > 0 then cpp_end_with else cpp_end_without end as cpp_end_with,
    case when ch.effect_share > 0 then plan_end_with else plan_end_without end as plan_end_with,
    case when ch.effect_share > 0 then closed_with else next_from end as closed_with
  )
  from referral inner join child ch on ch.number = referral.child
) r
inner join child c on c.number = r.child
inner join source_list src on src.position = r.source
left join (
  select k.child, k.start, max(k."end") as stop from care k where k.is_real group by all
) k on k.child = r.child and r.entry = k.start and (r.care_with or r.care_without)
union all
-- Children who move: a referral in another LA, under another code.
select number, la.other_la, day_of(first_day + 120 + number % 300), false, false, 'N1', '5C',
  day_of(first_day + 180 + number % 300), null, null, null, null, false
from child cross join la
where is_mover and first_day + 120 + number % 300 < birth_day + 6500 and first_day + 120 + number % 300 < 19000;

insert into cin_extract
with spell as (
  select l.*, coalesce(sum(l.has_cpp::integer) over (
      partition by l.number order by l.referral_date rows between unbounded preceding and 1 preceding), 0) as previous_cpps,
    case when l.is_nfa then return_year(l.referral_date) else return_year(least(coalesce(l.closure_date, last_day_covered()), last_day_covered())) end as last_year
  from lived_referral l
  where l.referral_date <= last_day_covered()
),
reported as (
  select s.*, unnest(range(greatest(return_year(s.referral_date), 2018), s.last_year + 1)) as y
  from spell s
),
visible as (
  select r.*,
    case when return_year(r.closure_date) = r.y then r.closure_date end as shown_closure,
    r.cpp_start_date is not null and return_year(r.cpp_start_date) <= r.y and return_year(r.cpp_end_date) >= r.y as shows_cpp,
    r.plan_start_date is not null and r.plan_end_date > r.plan_start_date and r.y >= 2022
      and return_year(r.plan_start_date) <= r.y and return_year(r.plan_end_date) >= r.y as shows_plan
  from reported r
),
lines as (
  select *, 'cpp' as line from visible where shows_cpp
  union all
  select *, 'plan' from visible where shows_plan
  union all
  select *, 'none' from visible where not shows_cpp and not shows_plan
)
select
  (v.y - 1) || '/' || v.y,
  coalesce(v.elsewhere, p.la_code),
  case when v.elsewhere is null then p.la_child_id else child_code(v.elsewhere, la.seed, v.number, 'moved' || la.la_code) end,
  p.pupil_id,
  case when not unborn then year(day_of(c.birth_day)) end,
  case when not unborn then month(day_of(c.birth_day)) end,
  case when unborn then day_of(c.birth_day) end,
  case when unborn then '1' else '0' end,
  case when unborn then (case when v.y >= 2025 then 'U' else '0' end)
    when v.y >= 2025 then (case when c.is_male then 'M' else 'F' end)
    when c.gender_conflict and v.y % 2 = 0 then (case when c.is_male then '2' else '1' end)
    else (case when c.is_male then '1' else '2' end) end,
  case when unborn then 'NOBT'
    when c.is_ethnicity_missing then (case when c.unsure < 0.6 then 'NOBT' when c.unsure < 0.9 then 'REFU' end)
    when c.unsure < 0.08 and v.y % 3 = 0 then 'NOBT'
    when c.unsure > 0.995 and v.y % 2 = 0 then 'OOTH'
    else e.code end,
  case when unborn then null when c.is_disabled and (c.unsure < 0.9 or v.y % 2 = 0) then '1' else '0' end,
  v.referral_date, v.referral_source, case when v.is_nfa then '1' else '0' end,
  case when not v.is_nfa then v.need end,
  v.shown_closure,
  case when v.shown_closure is not null then (case when v.elsewhere is not null then 'RC7' when v.is_not_in_need and v.y >= 2023 and v.number % 5 < 2 then 'RC9' when v.is_not_in_need then 'RC8' else 'RC7' end) end,
  case when v.line = 'cpp' then v.cpp_start_date end,
  case when v.line = 'cpp' and return_year(v.cpp_end_date) = v.y then v.cpp_end_date end,
  case when v.line = 'cpp' then (['NEG', 'EMO', 'PHY', 'SAB', 'MUL'])[1 + v.number % 5] end,
  case when v.line = 'cpp' then v.previous_cpps end,
  case when v.line = 'plan' then v.plan_start_date end,
  case when v.line = 'plan' and return_year(v.plan_end_date) = v.y then v.plan_end_date end
from (select v.*, day_of(c.birth_day) > least(year_end(v.y), coalesce(v.shown_closure, year_end(v.y)), case when v.is_nfa then v.referral_date else year_end(v.y) end) as unborn
  from lines v inner join child c on c.number = v.number) v
inner join child c on c.number = v.number
inner join reporting p on p.number = v.number and p.return_year = v.y
inner join ethnicity_list e on e.position = c.ethnicity
cross join la;

insert into cla_extract
with period as (
  select c.child as number, c.start, c."end" as stop, c.*,
    case when c."end" - c.start < 40 then 1 else c.pieces end as k,
    case when c.share > 0 then c.home_with else c.home_without end as goes_home,
    case when ch.effect_share > 0 then c.kin_with else c.kin_without end as is_kin,
    ch.is_uasc
  from care c inner join child ch on ch.number = c.child where c.is_real
),
piece as (
  select *, unnest(range(0, k)) as i from period
),
episode as (
  select number, start as period_start, is_uasc, i, k,
    case i when 0 then start when 1 then start + 5 + (0.45 * cut_0 * (stop - start - 20))::integer
      else start + 10 + ((0.5 + 0.45 * cut_1) * (stop - start - 20))::integer end as from_day,
    case when i + 1 = k then stop when i = 0 then start + 5 + (0.45 * cut_0 * (stop - start - 20))::integer
      else start + 10 + ((0.5 + 0.45 * cut_1) * (stop - start - 20))::integer end as to_day,
    case when i = 0 then 'S' when legal_1 < 0.6 then 'P' when legal_1 < 0.8 then 'L' else 'B' end as rne,
    case when is_uasc then 'V2' when i = 0 then (['V2', 'C1', 'L2', 'J1'])[1 + (legal_0 * 3.2)::integer % 4] when legal_1 < 0.5 then 'C2' when legal_1 < 0.9 then 'C1' else 'E1' end as legal,
    case when i = 0 and is_kin then (case when placement_0 < 0.3 then 'U1' else 'U3' end)
      when i = 0 then (['U6', 'U6', 'U4', 'K2', 'P1', 'H5', 'R3'])[1 + (placement_0 * 6.9)::integer % 7]
      when i = 1 then (['U4', 'U6', 'K2', 'P1', 'U1'])[1 + (placement_1 * 4.9)::integer % 5]
      else (['U4', 'K2', 'A5', 'H5'])[1 + (placement_2 * 3.9)::integer % 4] end as placement,
    case when i + 1 < k then 'X1' when goes_home then 'E4A' when reaches_18 then 'E17' else x.code end as rec
  from piece inner join exit_list x on x.position = piece.other_exit
  union all
  select child, start, false, 0, 1, start, "end", 'S', case when is_agreement then 'V4' else 'V3' end, 'U6', 'E8'
  from respite
),
reported as (
  select e.*, day_of(e.from_day) as started, day_of(e.to_day) as ceased,
    unnest(range(greatest(return_year(day_of(e.from_day)), 2018), least(return_year(day_of(e.to_day)), 2025) + 1)) as y
  from episode e where day_of(e.from_day) <= last_day_covered()
)
select p.la_code, p.la_child_id, p.pupil_id, r.y,
  case when r.y >= 2025 then (case when c.is_male then 'M' else 'F' end) else (case when c.is_male then '1' else '2' end) end,
  case when c.is_ethnicity_missing then 'NOBT' else e.code end,
  case when c.is_uasc then '1' else '0' end,
  year(day_of(c.birth_day)), month(day_of(c.birth_day)), day_of(r.period_start),
  r.started, r.rne, r.legal, 'N' || case when r.is_uasc then 8 else 1 + r.number % 5 end, r.placement,
  case when return_year(r.ceased) = r.y then r.ceased end,
  case when return_year(r.ceased) = r.y then r.rec end
from reported r
inner join child c on c.number = r.number
inner join reporting p on p.number = r.number and p.return_year = r.y
inner join ethnicity_list e on e.position = c.ethnicity;

insert into census_extract
select y.y, pupil_code(la.la_code, la.seed, c.number), year(day_of(c.birth_day)), month(day_of(c.birth_day)),
  case when c.is_male then 'M' else 'F' end, case when c.is_ethnicity_missing then 'NOBT' else e.code end,
  (y.y - 1 - year(day_of(c.birth_day)) - (month(day_of(c.birth_day)) > 8)::integer - 4)::varchar,
  case when c.is_fsm and (c.number + y.y) % 4 > 0 then '1' else '0' end,
  case when y.y <> 2020 then (case when c.is_fsm then '1' else '0' end) end,
  case when c.is_fsm then '1' else '0' end, case when c.is_fsm then '1' else '0' end
from child c cross join la cross join (select unnest(range(2018, 2026)) as y) y
inner join ethnicity_list e on e.position = c.ethnicity
where c.has_pupil_link
  and y.y - 1 - year(day_of(c.birth_day)) - (month(day_of(c.birth_day)) > 8)::integer between 4 and 15
  and abs(y.y - year(day_of(c.first_day))) <= 3;

insert into la_statistics
select s.la_code, make_date(y.y, 1, 19), m.measure,
  case when hash(s.la_code || y.y || m.measure) % 97 = 0 then 'c'
    else round(m.centre + (hash(s.la_code || m.measure) % 2000) / 100.0 + (y.y - 2017) * m.slope, 1)::varchar end
from (select la_code from la where not exists (select 1 from successor)
  union select la_code from la union select la_code from successor) s
cross join (select unnest(range(2017, 2026)) as y) y
cross join (values ('pupils_fsm_pct', 10.0, 0.9), ('pupils_white_british_pct', 60.0, -0.6)) m (measure, centre, slope);
