{{ config(materialized='table') }}

-- A code counts once, also where it stands for several children (trap 5).
with identities as (
    select
        la_code,
        la_child_id,
        min(la_id) as la_id,
        min(child_key) as child_key,
        count(pupil_id) > 0 as is_linked
    from {{ ref('int_children__identities') }}
    group by la_code, la_child_id
),

seen as (
    select
        la_code,
        la_child_id,
        return_year
    from {{ ref('int_quality__cin_children') }}
    union all
    select
        la_code,
        la_child_id,
        return_year
    from {{ ref('stg_cla__children') }}
),

codes as (
    select
        identities.la_id,
        identities.child_key,
        identities.la_child_id,
        seen.return_year,
        bool_or(identities.is_linked) as is_linked
    from seen
    inner join identities on seen.la_code = identities.la_code and seen.la_child_id = identities.la_child_id
    group by identities.la_id, identities.child_key, identities.la_child_id, seen.return_year
),

-- Few children have several codes: only theirs are compared with one another.
children_of_several as (
    select child_key
    from identities
    group by child_key
    having count(*) > 1
),

first_seen as (
    select
        codes.la_id,
        codes.child_key,
        codes.la_child_id,
        min(codes.return_year) as first_return_year
    from codes
    inner join children_of_several on codes.child_key = children_of_several.child_key
    group by codes.la_id, codes.child_key, codes.la_child_id
),

-- A child that returns under another code of the area, or under a code of another one, is known as the same child by
-- its pupil reference alone (trap 4).
bridged as (
    select
        codes.la_id,
        codes.child_key,
        codes.la_child_id,
        codes.return_year,
        max(case when earlier.la_id = codes.la_id and earlier.la_child_id <> codes.la_child_id then 1 else 0 end)
            as is_bridged,
        max(case when earlier.la_id <> codes.la_id then 1 else 0 end) as has_moved
    from codes
    inner join first_seen as earlier
        on codes.child_key = earlier.child_key and codes.return_year >= earlier.first_return_year
    group by codes.la_id, codes.child_key, codes.la_child_id, codes.return_year
)

select
    codes.la_id,
    codes.return_year,
    count(*) as code_count,
    cast(sum(case when codes.is_linked then 1 else 0 end) as bigint) as linked_count,
    cast(sum(coalesce(bridged.is_bridged, 0)) as bigint) as bridged_count,
    cast(sum(coalesce(bridged.has_moved, 0)) as bigint) as moved_count
from codes
left join bridged
    on
        codes.la_id = bridged.la_id
        and codes.child_key = bridged.child_key
        and codes.la_child_id = bridged.la_child_id
        and codes.return_year = bridged.return_year
group by codes.la_id, codes.return_year
