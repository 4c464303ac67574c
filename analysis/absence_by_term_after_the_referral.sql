-- How does unauthorised absence move over the terms that follow a referral, in treatment and comparison LAs (FV.OUT.S5)?
select
    outcomes.is_treatment_la,
    outcomes.is_treated,
    terms.term_order,
    count(*) as pupils,
    round(
        100.0 * sum(terms.unauthorised_absence_count) / nullif(sum(terms.sessions_possible_count), 0), 2
    ) as unauthorised_pct
from {{ ref('fct_absence_terms') }} as terms
inner join {{ ref('fct_child_outcomes') }} as outcomes
    on terms.programme_id = outcomes.programme_id and terms.child_id = outcomes.child_id
where terms.is_measured
group by outcomes.is_treatment_la, outcomes.is_treated, terms.term_order
order by outcomes.is_treatment_la asc, outcomes.is_treated asc, terms.term_order asc
