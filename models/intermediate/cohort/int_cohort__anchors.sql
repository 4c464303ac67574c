{{ config(materialized='table') }}

-- One list of everyone whose outcomes are asked for, and from which day: the trial's children and the entrants to the
-- LA trends before it, by their referral or by their start of care. The key is a number in the order of the rows, not a
-- hash: windows are many, and it never leaves this layer.
with anchors as (
    select
        'trial' as cohort,
        anchor,
        programme_id,
        child_key,
        la_id,
        index_referral_date as anchor_date,
        cast(null as date) as care_end_date,
        age_at_referral_months as age_at_anchor_months,
        is_unborn_at_referral
    from {{ ref('int_cohort__index_referrals') }}
    union all
    select
        'trend' as cohort,
        'referral' as anchor,
        programme_id,
        child_key,
        la_id,
        referral_date as anchor_date,
        cast(null as date) as care_end_date,
        null as age_at_anchor_months,
        null as is_unborn_at_referral
    from {{ ref('int_cohort__trend_referrals') }}
    union all
    select
        'trial' as cohort,
        'care_start' as anchor,
        programme_id,
        child_key,
        la_id,
        care_start_date as anchor_date,
        care_end_date,
        age_at_care_start_months as age_at_anchor_months,
        false as is_unborn_at_referral
    from {{ ref('int_cohort__trial_care_starts') }}
    where entry_number = 1 and is_of_age
    union all
    select
        'trend' as cohort,
        'care_start' as anchor,
        programme_id,
        child_key,
        la_id,
        care_start_date as anchor_date,
        care_end_date,
        null as age_at_anchor_months,
        null as is_unborn_at_referral
    from {{ ref('int_cohort__trend_care_starts') }}
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
)

select
    row_number() over (
        order by
            anchors.programme_id, anchors.cohort, anchors.anchor, anchors.la_id, anchors.anchor_date, anchors.child_key
    ) as anchor_id,
    anchors.*,
    in_care.child_key is not null as is_looked_after_at_anchor,
    {{ month_from_number('children.birth_month_number + 18 * 12') }} as eighteenth_birthday_date
from anchors
inner join {{ ref('int_children__characteristics') }} as children on anchors.child_key = children.child_key
left join in_care
    on anchors.child_key = in_care.child_key and anchors.anchor_date = in_care.anchor_date
