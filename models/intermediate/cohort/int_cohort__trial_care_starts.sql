{{ config(materialized='table') }}

-- Every start of care in a trial period. A child counts with the first, if it is of age then; on one day in two LAs the
-- longer period, then the key, a hash that cannot know which LA is treated (FV.SAMPLE.1, FV.SAMPLE.3, DECISIONS D59).
with in_trial as (
    select
        programmes.programme_id,
        care_starts.*,
        {{ is_of_age('care_starts.age_at_care_start_months', 'programmes') }} as is_of_age
    from {{ ref('programmes') }} as programmes
    inner join {{ ref('int_programmes__evaluated') }} as evaluated
        on programmes.programme_id = evaluated.programme_id
    inner join {{ ref('int_programmes__trial_periods') }} as periods
        on programmes.programme_id = periods.programme_id
    inner join {{ ref('int_cohort__care_starts') }} as care_starts
        on
            care_starts.care_start_date >= periods.trial_start_date
            and care_starts.care_start_date <= periods.trial_end_date
)

select
    programme_id,
    care_period_key,
    la_id,
    child_key,
    care_start_date,
    care_end_date,
    age_at_care_start_months,
    is_of_age,
    row_number() over (
        partition by programme_id, child_key
        order by
            care_start_date asc,
            case when care_end_date is null then 0 else 1 end asc,
            care_end_date desc,
            care_period_key asc
    ) as entry_number
from in_trial
