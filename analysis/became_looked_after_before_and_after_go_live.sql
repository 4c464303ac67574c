-- What share of children became looked after within the window, before and after go-live, in each treatment LA?
select
    areas.la_name,
    outcomes.is_treated,
    count(*) as children,
    round(100.0 * avg(case when outcomes.has_become_looked_after then 1 else 0 end), 2) as looked_after_pct
from {{ ref('fct_child_outcomes') }} as outcomes
inner join {{ ref('dim_programme_local_authorities') }} as areas
    on outcomes.programme_id = areas.programme_id and outcomes.la_id = areas.la_id
where
    outcomes.is_treatment_la
    and outcomes.is_in_sample__became_looked_after
    and outcomes.is_fully_observed__became_looked_after
group by areas.la_name, outcomes.is_treated
order by areas.la_name, outcomes.is_treated
