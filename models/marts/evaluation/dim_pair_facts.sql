select
    facts.programme_id,
    facts.treatment_la_id,
    facts.la_id,
    coalesce(named.la_name, facts.la_id) as la_name,
    named.region_name,
    facts.ofsted_judgement,
    facts.ofsted_published_date,
    facts.neighbour_rank,
    facts.fsm_pct
from {{ ref('int_programmes__pair_facts') }} as facts
left join {{ ref('dim_local_authorities') }} as named on facts.la_id = named.la_id
