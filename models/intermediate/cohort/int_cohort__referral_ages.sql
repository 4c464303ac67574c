{{ config(materialized='table') }}

with unborn_flags as (
    select distinct
        identities.la_id,
        identities.child_key,
        observations.return_year
    from {{ ref('int_children__observations') }} as observations
    {{ join_identities(
        'observations', 'observations.source_kind', 'observations.birth_month_number',
        'observations.is_expected_birth or observations.is_unborn'
    ) }}
    where observations.is_unborn
),

dated as (
    select
        referrals.referral_key,
        children.birth_month_number,
        cast(
            extract(year from referrals.referral_date) * 12 + extract(month from referrals.referral_date) - 1
            as integer
        ) as referral_month_number,
        unborn_flags.child_key is not null as is_reported_unborn
    from {{ ref('int_spells__referrals') }} as referrals
    inner join {{ ref('int_children__characteristics') }} as children on referrals.child_key = children.child_key
    left join unborn_flags
        on
            referrals.la_id = unborn_flags.la_id
            and referrals.child_key = unborn_flags.child_key
            and {{ return_year('referrals.referral_date') }} = unborn_flags.return_year
),

judged as (
    select
        referral_key,
        referral_month_number - birth_month_number as months_since_birth,
        is_reported_unborn or coalesce(birth_month_number > referral_month_number, false)
            as is_unborn_at_referral
    from dated
)

-- Calendar months from the month of birth to the month of the referral; the unborn are 0 (FV.SAMPLE.1).
select
    referral_key,
    is_unborn_at_referral,
    case when is_unborn_at_referral then 0 else months_since_birth end as age_at_referral_months
from judged
