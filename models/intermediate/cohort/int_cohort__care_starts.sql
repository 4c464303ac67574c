{{ config(materialized='table') }}

-- Starts of care with the child's age in calendar months; a child in care is born (FV.SAMPLE.3). greatest() passes
-- over nulls, so an unknown birth is asked for first; of episodes that nothing gives to one of several children under a
-- code nothing else is known, and they are counted all the same (DECISIONS D30).
select
    periods.care_period_key,
    periods.la_id,
    periods.child_key,
    periods.care_start_date,
    periods.care_end_date,
    case
        when children.birth_month_number is not null
            then greatest({{ month_number('periods.care_start_date') }} - children.birth_month_number, 0)
    end as age_at_care_start_months
from {{ ref('int_spells__care_periods') }} as periods
left join {{ ref('int_children__characteristics') }} as children on periods.child_key = children.child_key
