-- Every area of England stands here once per programme and outcome, with the first reason that keeps it from being a
-- comparator: what it is, then what is known of it, then what it sent (FV.MATCH.1). Two years of data before the match's
-- go-live are the setting's eight quarters in the matching window of a treatment LA.
with settings as (
    select cast(value as integer) as minimum_quarters
    from {{ ref('evaluation_settings') }}
    where setting = 'matching_minimum_quarters'
),

outcomes as (
    select distinct
        readings.programme_id,
        readings.outcome_id
    from {{ ref('programme_outcomes') }} as readings
    inner join {{ ref('int_programmes__evaluated') }} as evaluated on readings.programme_id = evaluated.programme_id
    where readings.is_trend_reading
),

codes as (
    select * from {{ ref('int_programmes__continuing_areas') }}
),

users as (
    select
        listed.programme_id,
        codes.la_id,
        min(listed.source) as source
    from {{ ref('programme_local_authorities') }} as listed
    inner join codes on listed.la_code = codes.la_code
    group by listed.programme_id, codes.la_id
),

exclusions as (
    select
        listed.programme_id,
        codes.la_id,
        min(listed.source) as source
    from {{ ref('matching_exclusions') }} as listed
    inner join codes on listed.la_code = codes.la_code
    where listed.is_default
    group by listed.programme_id, codes.la_id
),

returned as (
    select distinct la_id from {{ ref('int_programmes__coverage') }}
),

held as (
    select
        windows.programme_id,
        windows.outcome_id,
        windows.la_id as treatment_la_id,
        trends.la_id,
        count(*) as quarter_count
    from {{ ref('int_programmes__matching_quarters') }} as windows
    inner join {{ ref('int_outcomes__la_quarters') }} as trends
        on
            windows.programme_id = trends.programme_id
            and windows.outcome_id = trends.outcome_id
            and windows.quarter_start_date = trends.quarter_start_date
    where windows.is_default and trends.standardised_value is not null
    group by windows.programme_id, windows.outcome_id, windows.la_id, trends.la_id
),

most as (
    select
        programme_id,
        outcome_id,
        la_id,
        max(quarter_count) as quarter_count
    from held
    group by programme_id, outcome_id, la_id
),

judged as (
    select
        areas.programme_id,
        outcomes.outcome_id,
        areas.la_id,
        areas.role,
        coalesce(most.quarter_count, 0) as quarter_count,
        settings.minimum_quarters,
        areas.exclusion_reason,
        users.source as user_source,
        exclusions.source as exclusion_source,
        case
            when areas.is_treatment_la then 'treatment'
            when not areas.is_matching_candidate then 'excluded'
            when returned.la_id is null then 'no returns'
            when coalesce(most.quarter_count, 0) < settings.minimum_quarters then 'too little data'
            else 'eligible'
        end as status
    from {{ ref('int_programmes__local_authorities') }} as areas
    inner join outcomes on areas.programme_id = outcomes.programme_id
    cross join settings
    left join users on areas.programme_id = users.programme_id and areas.la_id = users.la_id
    left join exclusions on areas.programme_id = exclusions.programme_id and areas.la_id = exclusions.la_id
    left join returned on areas.la_id = returned.la_id
    left join most
        on
            areas.programme_id = most.programme_id
            and outcomes.outcome_id = most.outcome_id
            and areas.la_id = most.la_id
)

select
    judged.programme_id,
    judged.outcome_id,
    judged.la_id,
    coalesce(named.la_name, judged.la_id) as la_name,
    judged.status = 'eligible' as is_eligible,
    judged.status,
    case judged.status
        when 'treatment' then 'is a treatment LA of the programme itself'
        when 'excluded' then judged.exclusion_reason
        when 'no returns' then 'sent no returns that the extracts hold'
        when 'too little data'
            then
                'has an outcome in ' || cast(judged.quarter_count as {{ dbt.type_string() }})
                || ' quarters of the matching window at most; '
                || cast(judged.minimum_quarters as {{ dbt.type_string() }}) || ' are needed'
    end as reason,
    case judged.status
        when 'treatment' then judged.user_source
        when 'excluded' then coalesce(judged.user_source, judged.exclusion_source)
        else 'the extracts'
    end as source,
    judged.quarter_count
from judged
left join {{ ref('dim_local_authorities') }} as named on judged.la_id = named.la_id
