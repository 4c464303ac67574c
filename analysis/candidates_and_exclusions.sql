-- Which LAs may serve as comparators, and why not the others?
select
    programme_id,
    la_name,
    region_name,
    role,
    go_live_date,
    is_matching_candidate,
    exclusion_reason
from {{ ref('dim_programme_local_authorities') }}
order by programme_id, is_matching_candidate, role, la_name
