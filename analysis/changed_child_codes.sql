-- In which year did an LA give its children new codes, and what share do pupil references tie to the old ones (trap 4)?
select
    areas.la_name,
    codes.return_year,
    codes.code_count,
    round(codes.linked_pct, 1) as linked_pct,
    codes.bridged_count,
    codes.moved_count
from {{ ref('fct_changed_child_codes') }} as codes
inner join {{ ref('dim_local_authorities') }} as areas on codes.la_id = areas.la_id
order by codes.bridged_pct desc, areas.la_name asc, codes.return_year asc
