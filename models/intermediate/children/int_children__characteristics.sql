{{ config(materialized='table') }}

with observations as (
    select
        identities.child_id,
        identities.pupil_id as linked_pupil_id,
        observations.*
    from {{ ref('int_children__observations') }} as observations
    {{ join_identities(
        'observations', 'observations.source_kind', 'observations.birth_month_number',
        'observations.is_expected_birth or observations.is_unborn'
    ) }}
),

-- 0 (not recorded, unborn) never conflicts with a recorded gender (FV.CEM.2).
genders as (
    select
        observations.child_id,
        min(codes.gender) as lowest_gender,
        max(codes.gender) as highest_gender
    from observations
    inner join {{ ref('gender_codes') }} as codes
        on
            observations.source_kind = codes.source_kind
            and observations.gender_code = codes.gender_code
            and observations.return_year >= coalesce(codes.first_return_year, observations.return_year)
            and observations.return_year <= coalesce(codes.last_return_year, observations.return_year)
    where codes.gender > 0
    group by observations.child_id
),

ethnicities as (
    select
        observations.child_id,
        min(codes.ethnicity_code) as lowest_code,
        max(codes.ethnicity_code) as highest_code,
        min(codes.ethnic_group) as lowest_group,
        max(codes.ethnic_group) as highest_group
    from observations
    inner join {{ ref('ethnicity_codes') }} as codes on observations.ethnicity_code = codes.ethnicity_code
    where codes.ethnic_group <> 'Missing'
    group by observations.child_id
),

birth_years as (
    select
        child_id,
        max(case when birth_month_number is not null and not is_expected_birth then return_year end) as real_year,
        max(case when birth_month_number is not null then return_year end) as any_year
    from observations
    group by child_id
),

children as (
    select
        observations.child_id,
        coalesce(
            min(case
                when observations.return_year = birth_years.real_year and not observations.is_expected_birth
                    then observations.birth_month_number
            end),
            min(case when observations.return_year = birth_years.any_year then observations.birth_month_number end)
        ) as birth_month_number,
        bool_or(observations.is_disabled) as is_disabled,
        bool_or(observations.is_uasc) as is_uasc,
        min(case when observations.is_disabled then observations.return_year end) as first_disabled_year,
        min(case when observations.is_uasc then observations.return_year end) as first_uasc_year,
        min(observations.linked_pupil_id) is not null as is_linked_to_pupil
    from observations
    inner join birth_years on observations.child_id = birth_years.child_id
    group by observations.child_id
)

-- Conflicting genders are missing (4); a conflict of ethnicity codes within one group keeps the group (FV.COV.2).
select
    children.child_id,
    children.birth_month_number,
    case
        when genders.child_id is null then 0
        when genders.lowest_gender = genders.highest_gender then genders.lowest_gender
        else 4
    end as gender,
    case when ethnicities.lowest_code = ethnicities.highest_code then ethnicities.lowest_code end as ethnicity_code,
    case
        when ethnicities.lowest_group = ethnicities.highest_group then ethnicities.lowest_group
        else 'Missing'
    end as ethnic_group,
    children.is_disabled,
    children.is_uasc,
    children.first_disabled_year,
    children.first_uasc_year,
    children.is_linked_to_pupil
from children
left join genders on children.child_id = genders.child_id
left join ethnicities on children.child_id = ethnicities.child_id
