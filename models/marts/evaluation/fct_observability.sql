-- What can be seen yet in each LA that sent returns, and in each treatment LA whether it did or not, by reading of each
-- outcome: how far the LA's returns reach, and how far they must (FV.SAMPLE.5).
with places as (
    select distinct la_id from {{ ref('int_programmes__coverage') }}
),

las as (
    select
        areas.programme_id,
        areas.la_id,
        areas.is_treatment_la,
        areas.go_live_date
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join {{ ref('int_programmes__evaluated') }} as evaluated on areas.programme_id = evaluated.programme_id
    left join places on areas.la_id = places.la_id
    where areas.is_treatment_la or places.la_id is not null
),

-- School absence comes in national files of pupils, which belong to no LA.
reaches as (
    select
        definitions.outcome_id,
        areas.la_id,
        areas.returns_reach_date
    from {{ ref('outcomes') }} as definitions
    inner join {{ ref('int_programmes__reaches') }} as areas on definitions.source_kind = areas.source_kind
),

counts as (
    select
        outcomes.reading_number,
        entries.la_id,
        count(*) as entry_count,
        sum(case when outcomes.is_fully_observed then 1 else 0 end) as observed_count,
        sum(case when entries.is_treated then 1 else 0 end) as treated_count,
        sum(case when entries.is_treated and outcomes.is_fully_observed then 1 else 0 end) as treated_observed_count,
        max(case when outcomes.is_fully_observed then entries.anchor_date end) as latest_observed_date
    from {{ ref('int_outcomes__all') }} as outcomes
    inner join {{ ref('int_cohort__entries') }} as entries on outcomes.anchor_id = entries.anchor_id
    where outcomes.is_in_sample
    group by outcomes.reading_number, entries.la_id
)

select
    las.programme_id,
    follow_ups.outcome_id,
    follow_ups.reading_id,
    follow_ups.is_default as is_default_reading,
    las.la_id,
    coalesce(named.la_name, las.la_id) as la_name,
    las.is_treatment_la,
    las.go_live_date,
    coalesce(counts.entry_count, 0) as entry_count,
    cast(coalesce(counts.observed_count, 0) as bigint) as fully_observed_count,
    case when las.is_treatment_la then cast(coalesce(counts.treated_count, 0) as bigint) end as after_go_live_count,
    case when las.is_treatment_la then cast(coalesce(counts.treated_observed_count, 0) as bigint) end
        as after_go_live_fully_observed_count,
    case when las.is_treatment_la then coalesce(counts.treated_observed_count, 0) > 0 end
        as has_observed_after_go_live,
    counts.latest_observed_date as latest_fully_observed_entry_date,
    reaches.returns_reach_date,
    case when las.is_treatment_la then {{ add_months('las.go_live_date', 'follow_ups.window_months') }} end
        as first_observed_from_data_to_date,
    follow_ups.last_follow_up_date as fully_observed_from_data_to_date,
    {{ return_year('follow_ups.last_follow_up_date') }} as fully_observed_from_return_year
from las
inner join {{ ref('int_cohort__last_follow_ups') }} as follow_ups on las.programme_id = follow_ups.programme_id
left join {{ ref('int_programmes__readings') }} as readings
    on
        follow_ups.programme_id = readings.programme_id
        and follow_ups.outcome_id = readings.outcome_id
        and follow_ups.reading_id = readings.reading_id
left join counts on readings.reading_number = counts.reading_number and las.la_id = counts.la_id
left join reaches on follow_ups.outcome_id = reaches.outcome_id and las.la_id = reaches.la_id
left join {{ ref('dim_local_authorities') }} as named on las.la_id = named.la_id
