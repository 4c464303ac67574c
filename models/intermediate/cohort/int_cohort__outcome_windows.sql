{{ config(materialized='table') }}

-- The only place where a window is computed: first and last day per anchor and outcome, both included, and whether
-- the returns cover it (FV.OUT.*, FV.SAMPLE.5). A window that is not covered is missing, never 0.
with windows as (
    select
        anchors.anchor_id,
        anchors.cohort,
        anchors.programme_id,
        outcomes.outcome_id,
        anchors.child_id,
        anchors.la_id,
        anchors.is_looked_after_at_anchor,
        outcomes.is_already_looked_after_excluded,
        definitions.source_kind,
        anchors.anchor_date as window_start_date,
        {{ add_months('anchors.anchor_date', 'outcomes.window_months') }} as window_end_date,
        case when anchors.cohort = 'trial' then periods.trial_start_date else anchors.anchor_date end
            as entry_start_date
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_programmes__trial_periods') }} as periods
        on anchors.programme_id = periods.programme_id
    inner join {{ ref('programme_outcomes') }} as outcomes on anchors.programme_id = outcomes.programme_id
    inner join {{ ref('outcomes') }} as definitions on outcomes.outcome_id = definitions.outcome_id
    where definitions.anchor = 'referral'
)

-- Covered: the area returned the outcome's source in every year of the window, the data window reaches around it,
-- and the referrals among which this one is the first were returned too (DECISIONS D8).
select
    md5(windows.anchor_id || '|' || windows.outcome_id) as window_id,
    windows.anchor_id,
    windows.cohort,
    windows.programme_id,
    windows.outcome_id,
    windows.child_id,
    windows.la_id,
    windows.window_start_date,
    windows.window_end_date,
    windows.is_looked_after_at_anchor,
    not(windows.is_already_looked_after_excluded and windows.is_looked_after_at_anchor) as is_in_sample,
    coverage.la_id is not null
    and entry_coverage.la_id is not null
    and (
        limits.source_kind is null
        or (windows.window_start_date >= limits.first_date and windows.window_end_date <= limits.last_date)
    ) as is_fully_observed
from windows
left join {{ ref('int_programmes__coverage') }} as coverage
    on
        windows.la_id = coverage.la_id
        and windows.source_kind = coverage.source_kind
        and {{ return_year('windows.window_start_date') }} = coverage.first_return_year
        and {{ return_year('windows.window_end_date') }} = coverage.last_return_year
left join {{ ref('int_programmes__coverage') }} as entry_coverage
    on
        windows.la_id = entry_coverage.la_id
        and entry_coverage.source_kind = 'cin'
        and {{ return_year('windows.entry_start_date') }} = entry_coverage.first_return_year
        and {{ return_year('windows.window_start_date') }} = entry_coverage.last_return_year
left join {{ ref('stg_governance__data_windows') }} as limits on windows.source_kind = limits.source_kind
