{{ config(materialized='table') }}

-- 0 (not recorded, unborn) never conflicts with a recorded gender (FV.CEM.2).
with observations as (
    select
        identities.child_key,
        identities.pupil_id as linked_pupil_id,
        observations.return_year,
        observations.birth_month_number,
        observations.is_expected_birth,
        observations.is_disabled,
        observations.is_uasc,
        genders.gender,
        ethnicities.ethnicity_code,
        ethnicities.ethnic_group
    from {{ ref('int_children__observations') }} as observations
    {{ join_identities(
        'observations', 'observations.source_kind', 'observations.birth_month_number',
        'observations.is_expected_birth or observations.is_unborn'
    ) }}
    left join {{ ref('gender_codes') }} as genders
        on
            observations.source_kind = genders.source_kind
            and observations.gender_code = genders.gender_code
            and observations.return_year >= coalesce(genders.first_return_year, observations.return_year)
            and observations.return_year <= coalesce(genders.last_return_year, observations.return_year)
            and genders.gender > 0
    left join {{ ref('ethnicity_codes') }} as ethnicities
        on observations.ethnicity_code = ethnicities.ethnicity_code and ethnicities.ethnic_group <> 'Missing'
),

children as (
    select
        child_key,
        coalesce({{ latest_birth_month('not is_expected_birth') }}, {{ latest_birth_month('true') }})
            as birth_month_number,
        min(gender) as lowest_gender,
        max(gender) as highest_gender,
        min(ethnicity_code) as lowest_ethnicity,
        max(ethnicity_code) as highest_ethnicity,
        min(ethnic_group) as lowest_group,
        max(ethnic_group) as highest_group,
        bool_or(is_disabled) as is_disabled,
        bool_or(is_uasc) as is_uasc,
        min(case when is_disabled then return_year end) as first_disabled_year,
        min(case when is_uasc then return_year end) as first_uasc_year,
        count(linked_pupil_id) > 0 as is_linked_to_pupil
    from observations
    group by child_key
)

-- Conflicting genders are missing (4); a conflict of ethnicity codes within one group keeps the group (FV.COV.2).
select
    child_key,
    birth_month_number,
    case
        when lowest_gender is null then 0
        when lowest_gender = highest_gender then lowest_gender
        else 4
    end as gender,
    case when lowest_ethnicity = highest_ethnicity then lowest_ethnicity end as ethnicity_code,
    case when lowest_group = highest_group then lowest_group else 'Missing' end as ethnic_group,
    is_disabled,
    is_uasc,
    first_disabled_year,
    first_uasc_year,
    is_linked_to_pupil
from children
