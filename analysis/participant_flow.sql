-- Where does every referral (or start of care) of the trial period end, in treatment and comparison LAs?
select
    outcome_id,
    step_number,
    step,
    sum(case when is_treatment_la then entry_count else 0 end) as treatment_las,
    sum(case when is_treatment_la then 0 else entry_count end) as other_las,
    sum(entry_count) as all_las
from {{ ref('fct_sample_flow') }}
group by outcome_id, step_number, step
order by outcome_id, step_number
