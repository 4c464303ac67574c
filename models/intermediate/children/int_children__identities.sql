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
        min(la_id) as la_id,
        max(area_code_count) as area_code_count,
        coalesce(
            nullif(owner_month_number, 0),
            {{ latest_birth_month('not is_expected_birth') }},
            {{ latest_birth_month('true') }}
        ) as birth_month_number
    from observations
    group by la_code, la_child_id, owner_month_number
),

-- One code, several children: each by its month, and one more for rows that nothing tells apart (DECISIONS D30).
shared as (
    select
        la_code,
        la_child_id,
        min(la_id) as la_id,
        max(area_code_count) as area_code_count,
        min(owner_month_number) as lowest_owner
    from births
    group by la_code, la_child_id
    having max(owner_month_number) > 0
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
        la_id,
        area_code_count,
        cast(null as integer) as birth_month_number,
        true as is_shared_code
    from shared
    where lowest_owner > 0
),

-- Codes are reused by other LAs for other children: within a reorganised area the birth month tells them apart.
keyed as (
    select
        la_code,
        la_child_id,
        owner_month_number,
        la_id,
        birth_month_number,
        case
            when area_code_count > 1 or is_shared_code
                then
                    la_id
                    || '|'
                    || la_child_id
                    || '|'
                    || coalesce(cast(birth_month_number as {{ dbt.type_string() }}), '')
            else la_id || '|' || la_child_id
        end as la_child_label
    from codes
),

-- The first reference over the returns is the child's. One pass with a rank: a join back on the year alone would let
-- a planner pair every child of a year with every other.
ranked_links as (
    select
        keyed.la_child_label,
        observations.pupil_id,
        row_number() over (
            partition by keyed.la_child_label
            order by observations.return_year, observations.pupil_id
        ) as link_rank
    from keyed
    inner join observations
        on
            keyed.la_code = observations.la_code
            and keyed.la_child_id = observations.la_child_id
            and keyed.owner_month_number = observations.owner_month_number
    where observations.pupil_id is not null
),

links as (
    select
        la_child_label,
        pupil_id
    from ranked_links
    where link_rank = 1
),

-- A reference under which births lie more than a year apart is no child's own: it links nobody (DECISIONS D15).
sound_links as (
    select links.pupil_id
    from links
    inner join keyed on links.la_child_label = keyed.la_child_label
    group by links.pupil_id
    having coalesce(max(keyed.birth_month_number) - min(keyed.birth_month_number), 0) <= 12
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
