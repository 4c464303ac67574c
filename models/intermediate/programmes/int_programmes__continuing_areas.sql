{{ config(materialized='table') }}

-- LAs joined by mergers and splits are one continuing area, named by its lowest code: the smallest area whose
-- border stays the same over all returns (FV.MATCH.1; DECISIONS D4).
with recursive codes as (
    select distinct la_code from {{ ref('local_authority_codes') }}
    union
    select la_code from {{ ref('stg_cin__records') }}
    union
    select la_code from {{ ref('stg_cla__episodes') }}
),

edges as (
    select
        from_la_code as la_code,
        to_la_code as neighbour_la_code
    from {{ ref('local_authority_successors') }}
    where is_verified and relationship <> 'recode'
    union
    select
        to_la_code as la_code,
        from_la_code as neighbour_la_code
    from {{ ref('local_authority_successors') }}
    where is_verified and relationship <> 'recode'
),

reached as (
    select
        la_code,
        la_code as reached_la_code
    from codes
    union
    select
        reached.la_code,
        edges.neighbour_la_code as reached_la_code
    from reached
    inner join edges on reached.reached_la_code = edges.la_code
)

select
    la_code,
    min(reached_la_code) as la_id,
    count(*) as area_code_count
from reached
group by la_code
