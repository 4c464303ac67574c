-- What share of the trial's children is linked to a pupil reference, and so followed over LAs (FV.SAMPLE.1)?
select
    areas.la_name,
    count(*) as children,
    round(100.0 * avg(case when outcomes.is_linked_to_pupil then 1 else 0 end), 1) as linked_pct
from {{ ref('fct_child_outcomes') }} as outcomes
inner join {{ ref('dim_programme_local_authorities') }} as areas
    on outcomes.programme_id = areas.programme_id and outcomes.la_id = areas.la_id
group by areas.la_name
order by areas.la_name
