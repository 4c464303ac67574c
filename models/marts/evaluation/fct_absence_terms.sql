select
    programme_id,
    child_id,
    cast(term_number as integer) as term_order,
    cast(school_year as integer) as school_year,
    term,
    term_start_date,
    cast(months_since_referral as integer) as months_since_referral,
    is_measured,
    cast(case when is_measured then sessions_possible_count end as integer) as sessions_possible_count,
    cast(case when is_measured then unauthorised_absence_count end as integer) as unauthorised_absence_count,
    case
        when is_measured
            then
                100 * cast(unauthorised_absence_count as {{ type_double() }})
                / nullif(sessions_possible_count, 0)
    end as unauthorised_absence_pct
from {{ ref('int_cohort__absence_terms') }}
where cohort = 'trial' and anchor = 'referral' and is_of_school_age
