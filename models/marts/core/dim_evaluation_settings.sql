select
    setting,
    cast(value as {{ dbt.type_string() }}) as value,
    clause,
    meaning
from {{ ref('evaluation_settings') }}
