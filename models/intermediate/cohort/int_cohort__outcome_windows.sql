-- First and last day of the window per anchor and reading of an outcome, both included, and whether the returns cover
-- it (FV.OUT.*, FV.SAMPLE.5). A window that is not covered is missing, never 0. A trend asks for nothing beyond the
-- quarters that may be looked at for the outcome (FV.MATCH.3). A view: each outcome works out the windows of its own
-- measure, and int_outcomes__all alone stores them.
with asked as (
    select
        anchors.anchor_id * readings.reading_count + readings.reading_number as window_id,
        anchors.anchor_id,
        anchors.cohort,
        anchors.anchor,
        anchors.programme_id,
        readings.reading_number,
        readings.measure,
        anchors.child_key,
        anchors.la_id,
        anchors.is_looked_after_at_anchor,
        anchors.eighteenth_birthday_date,
        anchors.care_end_date,
        readings.is_already_looked_after_excluded,
        readings.is_censored_at_18,
        readings.turning_18_exclusion,
        readings.observable_from_date,
        readings.window_terms,
        definitions.source_kind,
        anchors.anchor_date as window_start_date,
        {{ follow_up_end('anchors.anchor_date', 'readings', 'terms') }} as follow_up_end_date,
        case when anchors.cohort = 'trial' then periods.trial_start_date else anchors.anchor_date end
            as entry_start_date
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_programmes__trial_periods') }} as periods
        on anchors.programme_id = periods.programme_id
    inner join {{ ref('int_programmes__readings') }} as readings
        on
            anchors.programme_id = readings.programme_id
            and anchors.anchor = readings.anchor
            and (anchors.cohort = 'trial' or readings.is_trend_reading)
    inner join {{ ref('outcomes') }} as definitions on readings.outcome_id = definitions.outcome_id
    left join {{ ref('int_cohort__following_terms') }} as terms
        on anchors.anchor_date = terms.anchor_date and readings.window_terms = terms.term_number
    left join {{ ref('int_programmes__trend_quarters') }} as quarters
        on
            anchors.programme_id = quarters.programme_id
            and anchors.la_id = quarters.la_id
            and readings.outcome_id = quarters.outcome_id
            and {{ quarter_start('anchors.anchor_date') }} = quarters.quarter_start_date
    where anchors.cohort = 'trial' or quarters.la_id is not null
),

-- The last day that the returns on looked-after children can say something about.
last_returns as (
    select
        la_id,
        max({{ return_year_end('last_return_year') }}) as last_return_date
    from {{ ref('int_programmes__coverage') }}
    where source_kind = 'cla'
    group by la_id
),

samples_by_factors as (
    select distinct
        programme_id,
        sample_id
    from {{ ref('sample_factors') }}
),

-- Where a programme censors at 18, the window ends the day before the birthday (FV.SAMPLE.5).
windows as (
    select
        *,
        case
            when is_censored_at_18
                then
                    least(
                        follow_up_end_date,
                        coalesce({{ add_days('eighteenth_birthday_date', -1) }}, follow_up_end_date)
                    )
            else follow_up_end_date
        end as window_end_date
    from asked
    where follow_up_end_date is not null
)

-- Turning 18 before care ends is asked of the end of care or the end of the follow-up, whichever is first, or of the
-- end alone; of care that goes on, up to the last return (FV.SAMPLE.3, DECISIONS D50).
-- Covered: the area returned the outcome's source in every year of the window, the data window reaches around it,
-- and the referrals or starts of care among which this one is the first were returned, and kept, too, with their
-- assessments where these decide (DECISIONS D8, D70). School
-- absence comes in national files, whose terms are judged where the outcome is made.
select
    windows.window_id,
    windows.anchor_id,
    windows.reading_number,
    windows.measure,
    windows.child_key,
    windows.la_id,
    windows.window_start_date,
    windows.window_end_date,
    windows.follow_up_end_date,
    least({{ add_days('windows.window_end_date', 1) }}, windows.follow_up_end_date) as days_end_date,
    windows.observable_from_date,
    windows.window_terms,
    not (windows.is_already_looked_after_excluded and windows.is_looked_after_at_anchor)
    and not (
        windows.turning_18_exclusion <> 'none'
        and coalesce(
            windows.eighteenth_birthday_date
            < coalesce(windows.care_end_date, {{ add_days('last_returns.last_return_date', 1) }}, {{ far_future() }}),
            false
        )
        and (
            windows.turning_18_exclusion = 'by_end_of_care'
            or windows.eighteenth_birthday_date < windows.follow_up_end_date
        )
    ) as is_in_sample,
    (windows.source_kind = 'npd' or coverage.la_id is not null)
    and entry_coverage.la_id is not null
    and coalesce(windows.window_start_date >= windows.observable_from_date, true)
    and (
        limits.source_kind is null
        or (windows.window_start_date >= limits.first_date and windows.window_end_date <= limits.last_date)
    )
    and (
        entry_limits.source_kind is null
        or (
            windows.entry_start_date >= entry_limits.first_date
            and windows.window_start_date <= entry_limits.last_date
        )
    ) as is_fully_observed
from windows
left join {{ ref('int_programmes__coverage') }} as coverage
    on
        windows.la_id = coverage.la_id
        and windows.source_kind = coverage.source_kind
        and {{ return_year('windows.window_start_date') }} = coverage.first_return_year
        and {{ return_year('windows.window_end_date') }} = coverage.last_return_year
left join samples_by_factors
    on windows.programme_id = samples_by_factors.programme_id and windows.anchor = samples_by_factors.sample_id
left join {{ ref('int_programmes__coverage') }} as entry_coverage
    on
        windows.la_id = entry_coverage.la_id
        and entry_coverage.source_kind = case
            when windows.anchor = 'care_start' then 'cla'
            when samples_by_factors.sample_id is not null then 'assessment'
            else 'cin'
        end
        and {{ return_year('windows.entry_start_date') }} = entry_coverage.first_return_year
        and {{ return_year('windows.window_start_date') }} = entry_coverage.last_return_year
left join last_returns on windows.la_id = last_returns.la_id
left join {{ ref('stg_governance__data_windows') }} as limits on windows.source_kind = limits.source_kind
left join {{ ref('stg_governance__data_windows') }} as entry_limits
    on entry_coverage.source_kind = entry_limits.source_kind
