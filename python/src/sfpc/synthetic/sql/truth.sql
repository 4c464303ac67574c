insert into potential_outcomes
with placed as (
  select p.*, day_of(p.index_day) as anchor_date, r.la_code, r.la_child_id
  from potential p
  inner join child c on c.number = p.child
  inner join reporting r on r.number = p.child and r.return_year = return_year(day_of(p.index_day))
  where not p.is_looked_after and not c.is_mover
)
select la_code, la_child_id, anchor_date, 'became_looked_after', is_treated, became_looked_after_without::integer, became_looked_after_with::integer from placed
union all
select la_code, la_child_id, anchor_date, 'started_cpp', is_treated, started_cpp_without::integer, started_cpp_with::integer from placed
union all
select la_code, la_child_id, anchor_date, 'plan_days', is_treated, plan_days_without, plan_days_with from placed
union all
select la_code, la_child_id, anchor_date, 'kinship_care', is_treated, kinship_care_without, kinship_care_with from placed
where not isnan(kinship_care_without) and not isnan(kinship_care_with)
union all
select la_code, la_child_id, anchor_date, 'unauthorised_absence', is_treated, unauthorised_absence_without, unauthorised_absence_with from placed
where not isnan(unauthorised_absence_without)
union all
select r.la_code, r.la_child_id, day_of(k.start), 'reunified', k.share > 0,
  (k.home_without and k.start + k.home_length <= (day_of(k.start) + interval 18 month)::date - date '1970-01-01')::integer,
  (k.home_with and k.start + k.home_length <= (day_of(k.start) + interval 18 month)::date - date '1970-01-01')::integer
from care k inner join reporting r on r.number = k.child and r.return_year = return_year(day_of(k.start))
where k.is_real and not k.reaches_18;
