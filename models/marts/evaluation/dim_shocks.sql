select
    shock_date,
    la_id,
    kind,
    title,
    source
from {{ ref('int_programmes__shocks') }}
