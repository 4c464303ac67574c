{{ config(materialized='table') }}

-- One list of everyone whose outcomes are asked for, and from which day: the trial's children and the entrants to the
-- LA trends before it, by their referral or by their start of care. The key is a number in the order of the rows, not a
-- hash: windows are many, and it never leaves this layer.
with anchors as (
    select
        sample_number,
        child_key,
        la_id,
        index_referral_date as anchor_date,
        cast(null as date) as care_end_date,
        age_at_referral_months as age_at_anchor_months,
        is_unborn_at_referral
    from {{ ref('int_cohort__index_referrals') }}
    union all
    select
        sample_number,
        child_key,
        la_id,
        referral_date as anchor_date,
        cast(null as date) as care_end_date,
        null as age_at_anchor_months,
        null as is_unborn_at_referral
    from {{ ref('int_cohort__trend_referrals') }}
    union all
    select
        samples.sample_number,
        care_starts.child_key,
        care_starts.la_id,
        care_starts.care_start_date as anchor_date,
        care_starts.care_end_date,
        care_starts.age_at_care_start_months as age_at_anchor_months,
        false as is_unborn_at_referral
    from {{ ref('int_cohort__samples') }} as samples
    inner join {{ ref('int_cohort__trial_care_starts') }} as care_starts
        on samples.programme_id = care_starts.programme_id
    where
        samples.cohort = 'trial'
        and samples.anchor = 'care_start'
        and care_starts.entry_number = 1
        and care_starts.is_of_age
    union all
    select
        samples.sample_number,
        care_starts.child_key,
        care_starts.la_id,
        care_starts.care_start_date as anchor_date,
        care_starts.care_end_date,
        null as age_at_anchor_months,
        null as is_unborn_at_referral
    from {{ ref('int_cohort__samples') }} as samples
    inner join {{ ref('int_cohort__trend_care_starts') }} as care_starts
        on samples.programme_id = care_starts.programme_id
    where samples.cohort = 'trend' and samples.anchor = 'care_start'
),

in_care as (
    select distinct
        anchors.child_key,
        anchors.anchor_date
    from anchors
    inner join {{ ref('int_spells__care_periods') }} as periods
        on
            anchors.child_key = periods.child_key
            and anchors.anchor_date > periods.care_start_date
            and (periods.care_end_date is null or anchors.anchor_date < periods.care_end_date)
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

known as (
    select
        anchors.*,
        samples.entry_source_kind,
        case when samples.cohort = 'trial' then periods.trial_start_date else anchors.anchor_date end
            as entry_start_date,
        in_care.child_key is not null as is_looked_after_at_anchor,
        {{ month_from_number('children.birth_month_number + 18 * 12') }} as eighteenth_birthday_date
    from anchors
    inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
    inner join {{ ref('int_programmes__trial_periods') }} as periods on samples.programme_id = periods.programme_id
    inner join {{ ref('int_children__characteristics') }} as children on anchors.child_key = children.child_key
    left join in_care
        on anchors.child_key = in_care.child_key and anchors.anchor_date = in_care.anchor_date
)

-- Care that goes on runs up to the last return (FV.SAMPLE.3, DECISIONS D50). An entry is covered where the referrals or
-- starts of care among which it is the first were returned and kept, with their assessments where these decide
-- (FV.SAMPLE.5, DECISIONS D8, D70).
select
    row_number() over (order by known.sample_number, known.la_id, known.anchor_date, known.child_key) as anchor_id,
    known.sample_number,
    known.child_key,
    known.la_id,
    known.anchor_date,
    known.age_at_anchor_months,
    known.is_unborn_at_referral,
    known.is_looked_after_at_anchor,
    known.eighteenth_birthday_date,
    coalesce(
        known.eighteenth_birthday_date
        < coalesce(known.care_end_date, {{ add_days('last_returns.last_return_date', 1) }}, {{ far_future() }}),
        false
    ) as is_18_before_care_ends,
    coverage.la_id is not null
    and (
        limits.source_kind is null
        or (known.entry_start_date >= limits.first_date and known.anchor_date <= limits.last_date)
    ) as is_entry_covered
from known
left join last_returns on known.la_id = last_returns.la_id
left join {{ ref('int_programmes__coverage') }} as coverage
    on
        known.la_id = coverage.la_id
        and known.entry_source_kind = coverage.source_kind
        and {{ return_year('known.entry_start_date') }} = coverage.first_return_year
        and {{ return_year('known.anchor_date') }} = coverage.last_return_year
left join {{ ref('stg_governance__data_windows') }} as limits on known.entry_source_kind = limits.source_kind
