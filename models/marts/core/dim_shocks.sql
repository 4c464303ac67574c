select
    shock_date,
    area,
    kind,
    title,
    source
from {{ ref('shock_register') }}
