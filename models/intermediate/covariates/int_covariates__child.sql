{{ config(materialized='table') }}

with entries as (
    select
        entries.*,
        {{ school_year('entries.anchor_date') }} as referral_school_year
    from {{ ref('int_cohort__entries') }} as entries
),

-- The need of the index referral; for a start of care that of the latest referral up to it (DECISIONS D56).
needs as (
    select
        entries.anchor_id,
        referrals.primary_need,
        row_number() over (
            partition by entries.anchor_id
            order by
                referrals.referral_date desc,
                case when referrals.la_id = entries.la_id then 0 else 1 end asc,
                referrals.referral_key asc
        ) as need_number
    from entries
    inner join {{ ref('int_spells__referrals') }} as referrals
        on entries.child_key = referrals.child_key and entries.anchor_date >= referrals.referral_date
    where entries.anchor = 'care_start' or entries.anchor_date = referrals.referral_date
),

pupils as (
    select distinct
        child_key,
        pupil_id
    from {{ ref('int_children__identities') }}
    where pupil_id is not null
),

censuses as (
    select
        entries.anchor_id,
        entries.referral_school_year,
        censuses.census_year,
        coalesce(censuses.is_fsm_eligible, false) as is_fsm_eligible,
        coalesce(censuses.is_ever_fsm_6, false) as is_ever_fsm_6,
        coalesce(censuses.is_ever_fsm_all, false) as is_ever_fsm_all,
        coalesce(censuses.is_ever_fsm_6_pupil_premium, false)
        and coalesce(censuses.nc_year_code, '') in ('R', '0', '1', '2') as is_infant_pupil_premium
    from entries
    inner join pupils on entries.child_key = pupils.child_key
    inner join {{ ref('stg_npd__pupils') }} as censuses
        on pupils.pupil_id = censuses.pupil_id and censuses.census_year <= entries.referral_school_year
),

-- Ever eligible in a spring census up to the school year of the referral, or pupil premium in the three years in
-- which every infant eats free; no census by then is a level of its own (FV.COV.1, FV.COV.2). The strata ask for
-- the last six years: what the latest census says of them, or a census within them (FV.CEM.6).
meals as (
    select
        anchor_id,
        bool_or(is_fsm_eligible or is_ever_fsm_6 or is_ever_fsm_all or is_infant_pupil_premium) as is_fsm,
        bool_or((is_fsm_eligible and census_year > referral_school_year - 6) or is_infant_pupil_premium)
        or coalesce(max(case when is_ever_fsm_6 then census_year end) = max(census_year), false)
            as is_fsm_last_six_years
    from censuses
    group by anchor_id
),

plans as (
    select
        entries.anchor_id,
        entries.anchor_date,
        plans.cpp_start_date,
        plans.reported_previous_count,
        plans.cpp_start_date < entries.anchor_date
        and (
            entries.anchor = 'care_start'
            or (
                plans.referral_date <> entries.anchor_date
                and coalesce(plans.last_referral_date, plans.referral_date) <> entries.anchor_date
            )
            or plans.la_id <> entries.la_id
        ) as is_earlier,
        rank() over (
            partition by entries.anchor_id, plans.cpp_start_date >= entries.anchor_date
            order by plans.cpp_start_date
        ) as plan_order
    from entries
    inner join {{ ref('int_spells__child_protection_plans') }} as plans on entries.child_key = plans.child_key
),

-- Plans seen before the referral, or what the earliest plan on or after it says of the past, if that is more.
previous_plans as (
    select
        anchor_id,
        sum(case when is_earlier then 1 else 0 end) as seen_count,
        max(case
            when cpp_start_date >= anchor_date and plan_order = 1 then reported_previous_count
        end) as reported_count
    from plans
    group by anchor_id
)

select
    entries.anchor_id,
    case when entries.is_unborn_at_referral then 0 else children.gender end as gender,
    children.ethnicity_code,
    children.ethnic_group,
    children.is_disabled,
    meals.is_fsm,
    meals.is_fsm_last_six_years,
    children.is_uasc,
    coalesce(children.first_disabled_year <= {{ return_year('entries.anchor_date') }}, false)
        as is_disabled_up_to_referral,
    coalesce(children.first_uasc_year <= {{ return_year('entries.anchor_date') }}, false) as is_uasc_up_to_referral,
    cast(greatest(
        coalesce(previous_plans.seen_count, 0), coalesce(previous_plans.reported_count, 0)
    ) as integer) as previous_cpp_count,
    children.is_linked_to_pupil,
    needs.primary_need
from entries
inner join {{ ref('int_children__characteristics') }} as children on entries.child_key = children.child_key
left join meals on entries.anchor_id = meals.anchor_id
left join previous_plans on entries.anchor_id = previous_plans.anchor_id
left join needs on entries.anchor_id = needs.anchor_id and needs.need_number = 1
