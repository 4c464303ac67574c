-- First and last day of the window per anchor and reading of an outcome, both included, and whether the returns cover
-- it (FV.OUT.*, FV.SAMPLE.5). A window that is not covered is missing, never 0. A trend asks for nothing beyond the
-- quarters that may be looked at for the outcome (FV.MATCH.3). A view: each outcome works out the windows of its own
-- measure, and int_outcomes__all alone stores what comes of them.
with quarters as (
    select
        samples.sample_number,
        readings.reading_number,
        quarters.la_id,
        quarters.quarter_start_date
    from {{ ref('int_cohort__samples') }} as samples
    inner join {{ ref('int_programmes__readings') }} as readings on samples.programme_id = readings.programme_id
    inner join {{ ref('int_programmes__trend_quarters') }} as quarters
        on readings.programme_id = quarters.programme_id and readings.outcome_id = quarters.outcome_id
    where samples.cohort = 'trend'
),

-- Where a programme censors at 18, the window ends the day before the birthday (FV.SAMPLE.5). Turning 18 before care
-- ends is asked up to the end of the follow-up, or whenever care ends (FV.SAMPLE.3, DECISIONS D50).
windows as (
    select
        anchors.anchor_id * follow_ups.reading_count + follow_ups.reading_number as window_id,
        anchors.anchor_id,
        anchors.child_key,
        anchors.la_id,
        anchors.anchor_date as window_start_date,
        anchors.is_entry_covered,
        follow_ups.reading_number,
        follow_ups.measure,
        follow_ups.window_terms,
        follow_ups.source_kind,
        follow_ups.first_return_year,
        follow_ups.follow_up_end_date,
        follow_ups.observable_from_date,
        follow_ups.is_start_covered,
        follow_ups.last_covered_date,
        case
            when follow_ups.is_censored_at_18
                then
                    least(
                        follow_ups.follow_up_end_date,
                        coalesce(
                            {{ add_days('anchors.eighteenth_birthday_date', -1) }}, follow_ups.follow_up_end_date
                        )
                    )
            else follow_ups.follow_up_end_date
        end as window_end_date,
        not (follow_ups.is_already_looked_after_excluded and anchors.is_looked_after_at_anchor)
        and not (
            follow_ups.turning_18_exclusion <> 'none'
            and anchors.is_18_before_care_ends
            and (
                follow_ups.turning_18_exclusion = 'by_end_of_care'
                or anchors.eighteenth_birthday_date < follow_ups.follow_up_end_date
            )
        ) as is_in_sample
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_cohort__follow_ups') }} as follow_ups
        on anchors.sample_number = follow_ups.sample_number and anchors.anchor_date = follow_ups.anchor_date
    left join quarters
        on
            follow_ups.sample_number = quarters.sample_number
            and follow_ups.reading_number = quarters.reading_number
            and follow_ups.quarter_start_date = quarters.quarter_start_date
            and anchors.la_id = quarters.la_id
    where not follow_ups.is_trend or quarters.la_id is not null
)

-- Covered: the area returned the outcome's source in every year of the window, the data window reaches around it, and
-- the entry is covered too. School absence comes in national files, whose terms are judged where the outcome is made.
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
    windows.is_in_sample,
    windows.is_entry_covered
    and windows.is_start_covered
    and windows.window_end_date <= windows.last_covered_date
    and (windows.source_kind = 'npd' or coverage.la_id is not null) as is_fully_observed
from windows
left join {{ ref('int_programmes__coverage') }} as coverage
    on
        windows.la_id = coverage.la_id
        and windows.source_kind = coverage.source_kind
        and windows.first_return_year = coverage.first_return_year
        and {{ return_year('windows.window_end_date') }} = coverage.last_return_year
