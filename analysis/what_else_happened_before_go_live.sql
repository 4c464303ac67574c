-- What else happened in England and in each treatment LA in the two years before go-live, and how was the LA judged?
select
    areas.programme_id,
    areas.la_name,
    facts.ofsted_judgement,
    shocks.shock_date,
    shocks.kind,
    shocks.title
from {{ ref('dim_programme_local_authorities') }} as areas
inner join {{ ref('dim_pair_facts') }} as facts
    on
        areas.programme_id = facts.programme_id
        and areas.la_id = facts.treatment_la_id
        and areas.la_id = facts.la_id
inner join {{ ref('dim_shocks') }} as shocks
    on
        coalesce(shocks.la_id, areas.la_id) = areas.la_id
        and shocks.shock_date < areas.go_live_date
        and shocks.shock_date >= {{ add_months('areas.go_live_date', -24) }}
where areas.is_treatment_la
order by areas.programme_id, areas.la_name, shocks.shock_date, shocks.title
