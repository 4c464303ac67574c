-- Which numbers behind the minimum detectable effects, and behind the costs and benefits, does neither protocol nor
-- guidance state?
select
    kind,
    programme_id,
    setting,
    value,
    meaning
from {{ ref('dim_economic_settings') }}
where not is_stated
order by kind asc nulls last, programme_id asc nulls last, setting asc nulls last
