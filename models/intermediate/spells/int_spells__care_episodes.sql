{{ config(materialized='table') }}

with reports as (
    select
        identities.la_id,
        identities.child_key,
        episodes.*,
        coalesce(statuses.is_respite, false) as is_respite,
        row_number() over (
            partition by
                identities.la_id,
                identities.child_key,
                episodes.episode_start_date,
                coalesce(statuses.is_respite, false)
            order by
                episodes.return_year desc,
                episodes.episode_end_date desc nulls last,
                coalesce(episodes.reason_episode_ceased_code, '') desc,
                episodes.la_code asc,
                episodes.la_child_id asc,
                episodes.source_row asc
        ) as report_number
    from {{ ref('stg_cla__episodes') }} as episodes
    {{ join_identities('episodes', "'SSDA903'") }}
    left join {{ ref('legal_status_codes') }} as statuses
        on episodes.legal_status_code = statuses.legal_status_code
),

last_returns as (
    select
        la_id,
        max(return_year) as last_return_year
    from reports
    group by la_id
)

-- A short break never stands in for a real episode that starts the same day, so each is settled on its own.
-- An open episode is repeated every year: the latest report has the end. last_reported_date is the day by which
-- an episode without an end must be over, because the LA went on reporting and left it out (DECISIONS D7).
select
    reports.la_id,
    reports.child_key,
    reports.la_code,
    reports.la_child_id,
    reports.episode_start_date,
    reports.reason_for_new_episode_code,
    reports.legal_status_code,
    reports.placement_code,
    reports.episode_end_date,
    reports.reason_episode_ceased_code,
    reports.period_start_date,
    reports.return_year as last_return_year,
    case
        when reports.return_year < last_returns.last_return_year
            then {{ return_year_end('reports.return_year') }}
    end as last_reported_date,
    reports.is_respite
from reports
inner join last_returns on reports.la_id = last_returns.la_id
where reports.report_number = 1
