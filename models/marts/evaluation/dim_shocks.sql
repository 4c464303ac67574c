select
    shock_date,
    la_id,
    kind,
    title,
    source,
    is_of_its_own
from {{ ref('int_programmes__shocks') }}
