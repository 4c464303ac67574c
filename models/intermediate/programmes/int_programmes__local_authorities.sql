{{ config(materialized='table') }}

with areas as (
    select distinct la_id from {{ ref('int_programmes__continuing_areas') }}
),

codes as (
    select * from {{ ref('int_programmes__continuing_areas') }}
),

-- A trend never looks at outcomes after go-live: where an outcome takes longer than the stated gap, the gap is as
-- long as the outcome (FV.MATCH.3).
programmes as (
    select
        programmes.programme_id,
        programmes.matching_start_months,
        greatest(programmes.matching_end_months, coalesce(max(outcomes.window_months), 0)) as matching_end_months
    from {{ ref('programmes') }} as programmes
    inner join {{ ref('programme_outcomes') }} as outcomes on programmes.programme_id = outcomes.programme_id
    where outcomes.is_trend_reading
    group by programmes.programme_id, programmes.matching_start_months, programmes.matching_end_months
),

roles as (
    select
        listed.programme_id,
        codes.la_id,
        min(listed.role) as role,
        min(listed.go_live_date) as programme_start_date,
        min(listed.embedding_start_date) as embedding_start_date,
        max(listed.embedding_end_date) as embedding_end_date
    from {{ ref('programme_local_authorities') }} as listed
    inner join codes on listed.la_code = codes.la_code
    group by listed.programme_id, codes.la_id
),

exclusions as (
    select
        listed.programme_id,
        codes.la_id,
        min(listed.reason) as reason
    from {{ ref('matching_exclusions') }} as listed
    inner join codes on listed.la_code = codes.la_code
    where listed.is_default
    group by listed.programme_id, codes.la_id
)

-- The trailblazer and the developer use the programme, so they are neither treated nor candidates (FV.PROG.2).
select
    programmes.programme_id,
    areas.la_id,
    coalesce(roles.role, 'comparison') as role,
    roles.programme_start_date,
    case when roles.role = 'treatment' then roles.programme_start_date end as go_live_date,
    roles.embedding_start_date,
    roles.embedding_end_date,
    coalesce(roles.role = 'treatment', false) as is_treatment_la,
    roles.role is null and exclusions.la_id is null as is_matching_candidate,
    case
        when roles.role is not null then 'uses the programme: ' || roles.role
        else exclusions.reason
    end as exclusion_reason,
    case
        when roles.role in ('treatment', 'trailblazer')
            then
                {{ add_months('roles.programme_start_date', '-programmes.matching_start_months') }}
    end as matching_start_date,
    case
        when roles.role in ('treatment', 'trailblazer')
            then
                {{ add_months('roles.programme_start_date', '-programmes.matching_end_months') }}
    end as matching_end_date
from programmes
cross join areas
left join roles on programmes.programme_id = roles.programme_id and areas.la_id = roles.la_id
left join exclusions on programmes.programme_id = exclusions.programme_id and areas.la_id = exclusions.la_id
