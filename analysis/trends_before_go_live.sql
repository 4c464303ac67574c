-- How did the mean outcome of each treatment LA (a share where it is yes or no) move from quarter to quarter before
-- go-live, beside its candidates' mean?
with candidates as (
    select
        programme_id,
        outcome_id,
        quarter_start_date,
        avg(value) as mean_value
    from {{ ref('fct_la_quarter_outcomes') }}
    where is_matching_candidate
    group by programme_id, outcome_id, quarter_start_date
)

select
    trends.outcome_id,
    areas.la_name,
    trends.quarter_start_date,
    round(trends.value, 4) as mean_value,
    round(candidates.mean_value, 4) as candidates_mean_value,
    round(trends.standardised_change, 2) as standardised_change
from {{ ref('fct_la_quarter_outcomes') }} as trends
inner join {{ ref('dim_programme_local_authorities') }} as areas
    on trends.programme_id = areas.programme_id and trends.la_id = areas.la_id
inner join candidates
    on
        trends.programme_id = candidates.programme_id
        and trends.outcome_id = candidates.outcome_id
        and trends.quarter_start_date = candidates.quarter_start_date
where trends.is_treatment_la
order by trends.outcome_id, areas.la_name, trends.quarter_start_date
