-- The effect that the treated children of an LA really had: percentage points for binary outcomes, days and
-- percentage points of sessions for the others.
create or replace temp table realised_effects as
select la_code, outcome_id, count(*) as treated_children,
  round(avg(outcome_with - outcome_without)
  * case when outcome_id in ('plan_days', 'unauthorised_absence') then 1 else 100 end, 6) as realised_effect
from potential_outcomes
where is_treated
group by la_code, outcome_id;
