-- In which LAs do the returns state two genders, ethnicities or months of birth for one child most often (FV.COV.2)?
select
    changes.field,
    areas.la_name,
    changes.child_count as children,
    changes.changed_count as changed,
    changes.changed_in_la_count as changed_within_the_la,
    round(changes.changed_pct, 2) as changed_pct
from {{ ref('fct_changed_characteristics') }} as changes
inner join {{ ref('dim_local_authorities') }} as areas on changes.la_id = areas.la_id
order by changes.field asc, changes.changed_pct desc, areas.la_name asc
