-- What a person who judges a pair wants to know of an LA as it was when the treatment LA went live: its latest Ofsted
-- judgement, its share of pupils with free school meals, and whether the two are statistical neighbours (FV.MATCH.4).
with pairs as (
    select
        treatment.programme_id,
        treatment.la_id as treatment_la_id,
        treatment.go_live_date,
        candidates.la_id
    from {{ ref('int_programmes__local_authorities') }} as treatment
    inner join {{ ref('int_programmes__local_authorities') }} as candidates
        on treatment.programme_id = candidates.programme_id
    where
        treatment.is_treatment_la
        and (candidates.is_matching_candidate or candidates.la_id = treatment.la_id)
),

judgements as (
    select
        pairs.programme_id,
        pairs.treatment_la_id,
        pairs.la_id,
        listed.overall_effectiveness,
        listed.published_date,
        row_number() over (
            partition by pairs.programme_id, pairs.treatment_la_id, pairs.la_id
            order by listed.published_date desc, listed.la_code asc
        ) as recency
    from pairs
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on pairs.la_id = areas.la_id
    inner join {{ ref('ofsted_judgements') }} as listed
        on areas.la_code = listed.la_code and listed.published_date <= pairs.go_live_date
),

neighbours as (
    select
        own.la_id as treatment_la_id,
        other.la_id,
        min(listed.neighbour_rank) as neighbour_rank
    from {{ ref('statistical_neighbours') }} as listed
    inner join {{ ref('int_programmes__continuing_areas') }} as own on listed.la_code = own.la_code
    inner join {{ ref('int_programmes__continuing_areas') }} as other on listed.neighbour_la_code = other.la_code
    where own.la_id <> other.la_id
    group by own.la_id, other.la_id
),

meals as (
    select
        areas.la_id,
        statistics.reference_date,
        avg(statistics.measure_value) as fsm_pct
    from {{ ref('stg_la__statistics') }} as statistics
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on statistics.la_code = areas.la_code
    where statistics.measure = 'pupils_fsm_pct' and statistics.measure_value is not null
    group by areas.la_id, statistics.reference_date
),

latest_meals as (
    select
        pairs.programme_id,
        pairs.treatment_la_id,
        pairs.la_id,
        meals.fsm_pct,
        row_number() over (
            partition by pairs.programme_id, pairs.treatment_la_id, pairs.la_id
            order by meals.reference_date desc
        ) as recency
    from pairs
    inner join meals on pairs.la_id = meals.la_id and meals.reference_date < pairs.go_live_date
)

select
    pairs.programme_id,
    pairs.treatment_la_id,
    pairs.la_id,
    judgements.overall_effectiveness as ofsted_judgement,
    judgements.published_date as ofsted_published_date,
    neighbours.neighbour_rank,
    latest_meals.fsm_pct
from pairs
left join judgements
    on
        pairs.programme_id = judgements.programme_id
        and pairs.treatment_la_id = judgements.treatment_la_id
        and pairs.la_id = judgements.la_id
        and judgements.recency = 1
left join neighbours
    on pairs.treatment_la_id = neighbours.treatment_la_id and pairs.la_id = neighbours.la_id
left join latest_meals
    on
        pairs.programme_id = latest_meals.programme_id
        and pairs.treatment_la_id = latest_meals.treatment_la_id
        and pairs.la_id = latest_meals.la_id
        and latest_meals.recency = 1
