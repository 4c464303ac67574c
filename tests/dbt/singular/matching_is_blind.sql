-- FV.MATCH.3, FV.MATCH.5: no window of matching, placebo dates included, holds a quarter whose outcomes were observed
-- on or after the go-live it stands before; the default window and the placebos hold none that reaches past go-live
-- less the programme's gap; and no trend holds a quarter that no window allows. Go-live days come from the seed, not
-- from the models that are tested.
with go_lives as (
    select
        listed.programme_id,
        areas.la_id,
        min(listed.go_live_date) as go_live_date
    from {{ ref('programme_local_authorities') }} as listed
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on listed.la_code = areas.la_code
    where listed.role in ('treatment', 'trailblazer')
    group by listed.programme_id, areas.la_id
),

looked_at as (
    select
        quarters.programme_id,
        quarters.outcome_id,
        quarters.window_id,
        quarters.treatment_la_id,
        quarters.quarter_start_date,
        windows.gap_months,
        programmes.matching_end_months,
        quarters.assumed_go_live_date as stated_go_live_date,
        {{ add_months('quarters.quarter_start_date', 3) }} as next_quarter_date,
        {{ add_months('go_lives.go_live_date', '-windows.placebo_months') }} as assumed_go_live_date
    from {{ ref('fct_matching_quarters') }} as quarters
    left join {{ ref('matching_windows') }} as windows on quarters.window_id = windows.window_id
    left join {{ ref('programmes') }} as programmes on quarters.programme_id = programmes.programme_id
    left join go_lives
        on quarters.programme_id = go_lives.programme_id and quarters.treatment_la_id = go_lives.la_id
),

trends as (
    select
        windows.reading_number,
        {{ quarter_start('anchors.anchor_date') }} as quarter_start_date,
        max(windows.window_end_date) as last_follow_up_date
    from {{ ref('int_outcomes__all') }} as windows
    inner join {{ ref('int_cohort__anchors') }} as anchors on windows.anchor_id = anchors.anchor_id
    inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
    where samples.cohort = 'trend'
    group by windows.reading_number, {{ quarter_start('anchors.anchor_date') }}
),

followed as (
    select
        readings.programme_id,
        readings.outcome_id,
        trends.quarter_start_date,
        trends.last_follow_up_date
    from trends
    inner join {{ ref('int_programmes__readings') }} as readings on trends.reading_number = readings.reading_number
)

select
    'outcomes observed on or after go-live' as problem,
    looked_at.window_id,
    looked_at.treatment_la_id as la_id,
    looked_at.outcome_id,
    looked_at.quarter_start_date
from looked_at
left join followed
    on
        looked_at.programme_id = followed.programme_id
        and looked_at.outcome_id = followed.outcome_id
        and looked_at.quarter_start_date = followed.quarter_start_date
where
    looked_at.assumed_go_live_date is null
    or looked_at.stated_go_live_date <> looked_at.assumed_go_live_date
    or followed.last_follow_up_date >= looked_at.assumed_go_live_date
    or looked_at.next_quarter_date > looked_at.assumed_go_live_date
union all
select
    'reaches past go-live less the gap' as problem,
    looked_at.window_id,
    looked_at.treatment_la_id as la_id,
    looked_at.outcome_id,
    looked_at.quarter_start_date
from looked_at
where
    looked_at.gap_months is null
    and looked_at.next_quarter_date
    > {{ add_months('looked_at.assumed_go_live_date', '-looked_at.matching_end_months') }}
union all
select
    'the default window has a gap of its own' as problem,
    windows.window_id,
    null as la_id,
    null as outcome_id,
    null as quarter_start_date
from {{ ref('matching_windows') }} as windows
where windows.is_default and (windows.gap_months is not null or windows.placebo_months <> 0)
union all
select
    'no window allows this quarter' as problem,
    null as window_id,
    trends.la_id,
    trends.outcome_id,
    trends.quarter_start_date
from {{ ref('fct_matching_trends') }} as trends
left join {{ ref('fct_matching_quarters') }} as quarters
    on
        trends.programme_id = quarters.programme_id
        and trends.outcome_id = quarters.outcome_id
        and trends.quarter_start_date = quarters.quarter_start_date
        and (trends.is_matching_candidate or trends.la_id = quarters.treatment_la_id)
where quarters.window_id is null
union all
select
    'a quarter of the default mart that the default window does not hold' as problem,
    'default' as window_id,
    trends.la_id,
    trends.outcome_id,
    trends.quarter_start_date
from {{ ref('fct_la_quarter_outcomes') }} as trends
left join {{ ref('fct_matching_quarters') }} as quarters
    on
        trends.programme_id = quarters.programme_id
        and trends.outcome_id = quarters.outcome_id
        and trends.quarter_start_date = quarters.quarter_start_date
        and quarters.is_default
        and (trends.is_matching_candidate or trends.la_id = quarters.treatment_la_id)
where quarters.window_id is null
