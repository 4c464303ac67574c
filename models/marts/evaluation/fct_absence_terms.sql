select
    entries.programme_id,
    {{ id_of('entries.child_key') }} as child_id,
    cast(terms.term_number as integer) as term_order,
    cast(named.school_year as integer) as school_year,
    named.term,
    named.first_date as term_start_date,
    cast(terms.months_since_referral as integer) as months_since_referral,
    terms.is_measured,
    cast(case when terms.is_measured then terms.sessions_possible_count end as integer) as sessions_possible_count,
    cast(case when terms.is_measured then terms.unauthorised_absence_count end as integer)
        as unauthorised_absence_count,
    case
        when terms.is_measured
            then
                100 * cast(terms.unauthorised_absence_count as {{ type_double() }})
                / nullif(terms.sessions_possible_count, 0)
    end as unauthorised_absence_pct
from {{ ref('int_cohort__absence_terms') }} as terms
inner join {{ ref('int_cohort__entries') }} as entries on terms.anchor_id = entries.anchor_id
inner join {{ ref('int_cohort__following_terms') }} as named
    on entries.anchor_date = named.anchor_date and terms.term_number = named.term_number
where entries.anchor = 'referral' and terms.is_of_school_age
