{{ config(materialized='table') }}

with observations as (
    select
        observations.*,
        coalesce(shared_codes.owner_month_number, 0) as owner_month_number
    from {{ ref('int_children__observations') }} as observations
    {{ join_shared_codes(
        'observations', 'observations.source_kind', 'observations.birth_month_number',
        'observations.is_expected_birth or observations.is_unborn'
    ) }}
),

-- A real birth month is worth more than an expected one, a later return more than an earlier one (A.5).
births as (
    select
        la_code,
        la_child_id,
        owner_month_number,
        coalesce(
            nullif(owner_month_number, 0),
            {{ latest_birth_month('not is_expected_birth') }},
            {{ latest_birth_month('true') }}
        ) as birth_month_number,
        -- The first reference over the returns, behind the four digits of its year.
        min(cast(return_year as {{ dbt.type_string() }}) || pupil_id) as first_link
    from observations
    group by la_code, la_child_id, owner_month_number
),

-- One code, several children: each by its month, and one more for rows that nothing tells apart (DECISIONS D30).
owned as (
    select distinct
        la_code,
        la_child_id
    from births
    where owner_month_number > 0
),

shared as (
    select
        births.la_code,
        births.la_child_id,
        min(births.owner_month_number) as lowest_owner
    from births
    inner join owned on births.la_code = owned.la_code and births.la_child_id = owned.la_child_id
    group by births.la_code, births.la_child_id
),

codes as (
    select
        births.*,
        shared.la_code is not null as is_shared_code
    from births
    left join shared on births.la_code = shared.la_code and births.la_child_id = shared.la_child_id
    union all
    select
        la_code,
        la_child_id,
        0 as owner_month_number,
        cast(null as integer) as birth_month_number,
        cast(null as {{ dbt.type_string() }}) as first_link,
        true as is_shared_code
    from shared
    where lowest_owner > 0
),

-- Codes are reused by other LAs for other children: within a reorganised area the birth month tells them apart.
keyed as (
    select
        codes.la_code,
        codes.la_child_id,
        codes.owner_month_number,
        codes.birth_month_number,
        codes.first_link,
        areas.la_id,
        case
            when areas.area_code_count > 1 or codes.is_shared_code
                then
                    areas.la_id
                    || '|'
                    || codes.la_child_id
                    || '|'
                    || coalesce(cast(codes.birth_month_number as {{ dbt.type_string() }}), '')
            else areas.la_id || '|' || codes.la_child_id
        end as la_child_label
    from codes
    inner join {{ ref('int_programmes__continuing_areas') }} as areas on codes.la_code = areas.la_code
),

-- The first reference over the returns is the child's.
links as (
    select
        la_child_label,
        substr(min(first_link), 5) as pupil_id,
        min(birth_month_number) as lowest_month_number,
        max(birth_month_number) as highest_month_number
    from keyed
    group by la_child_label
),

-- A reference under which births lie more than a year apart is no child's own: it links nobody (DECISIONS D15).
sound_links as (
    select pupil_id
    from links
    where pupil_id is not null
    group by pupil_id
    having coalesce(max(highest_month_number) - min(lowest_month_number), 0) <= 12
)

select
    keyed.la_code,
    keyed.la_child_id,
    keyed.owner_month_number,
    keyed.la_id,
    keyed.birth_month_number,
    sound_links.pupil_id,
    {{ key_of("coalesce('pupil|' || sound_links.pupil_id, 'la|' || keyed.la_child_label)") }} as child_key
from keyed
left join links on keyed.la_child_label = links.la_child_label
left join sound_links on links.pupil_id = sound_links.pupil_id
