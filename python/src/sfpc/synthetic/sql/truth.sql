-- Both outcomes of every child whose truth is known, under the code of the return that the anchor falls in.
-- Left out: children looked after at the referral (FV.OUT.P), and movers, whose first referral in the trial may
-- be the other LA's.
with coded as (
  select
    p.number,
    y.y::integer as y,
    case when y.y >= p.successor_year then p.successor_code else la.la_code end as la_code,
    case
      when y.y >= p.third_from_year then p.third_code
      when y.y >= p.second_from_year then p.second_code
      else p.first_code
    end as la_child_id
  from person as p
  cross join la
  cross join (select unnest(range(first_covered_year(), last_covered_year() + 1)) as y) as y
  where not list_contains(la.missing_years, y.y)
),
placed as (
  select p.*, day_of(p.index_day) as anchor_date, r.la_code, r.la_child_id
  from potential as p
  inner join child as c on c.number = p.child
  inner join coded as r on r.number = p.child and r.y = return_year(day_of(p.index_day))
  where not p.is_looked_after and not c.is_mover
),
started as (
  select
    k.*,
    day_of(k.start) as anchor_date,
    r.la_code,
    r.la_child_id,
    (day_of(k.start) + interval 18 month)::date as last_date
  from care as k
  inner join coded as r on r.number = k.child and r.y = return_year(day_of(k.start))
  where k.is_real_with
),
long as (
  select
    la_code, la_child_id, anchor_date, 'became_looked_after' as outcome_id, is_treated,
    became_looked_after_without::double as outcome_without, became_looked_after_with::double as outcome_with
  from placed
  union all
  select
    la_code, la_child_id, anchor_date, 'started_cpp', is_treated,
    started_cpp_without::integer, started_cpp_with::integer
  from placed
  union all
  select la_code, la_child_id, anchor_date, 'plan_days', is_treated, plan_days_without, plan_days_with
  from placed
  union all
  select la_code, la_child_id, anchor_date, 'kinship_care', is_treated, kinship_care_without, kinship_care_with
  from placed
  where not isnan(kinship_care_without) and not isnan(kinship_care_with)
  union all
  select
    la_code, la_child_id, anchor_date, 'unauthorised_absence', is_treated,
    unauthorised_absence_without, unauthorised_absence_with
  from placed
  where not isnan(unauthorised_absence_without)
  union all
  -- FV.SAMPLE.3: nobody who turns 18 before the day at which the outcome is known.
  select
    la_code, la_child_id, anchor_date, 'reunified', share > 0,
    (home_without and day_of(end_without) <= last_date)::integer,
    (home_with and day_of(end_with) <= last_date)::integer
  from started
  where date_trunc('month', day_of(adult)) >= least(last_date, day_of(end_with))
)
select *
from long
order by outcome_id, la_code, la_child_id, anchor_date
