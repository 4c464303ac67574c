-- Which LAs were merged or split, and what do they count as?
select
    la_id,
    la_name,
    la_codes,
    region_name
from {{ ref('dim_local_authorities') }}
where is_reorganised
order by la_id
