-- Settings of power and of the cost-benefit analysis, the assumptions of the protocol's power table by programme, and
-- those of simulated studies, all as text with clause and meaning.
select
    'setting' as kind,
    cast(null as {{ dbt.type_string() }}) as programme_id,
    setting,
    cast(value as {{ dbt.type_string() }}) as value,
    not is_assumption as is_stated,
    clause,
    meaning
from {{ ref('economic_settings') }}
union all
select
    'power table' as kind,
    programme_id,
    assumption as setting,
    cast(value as {{ dbt.type_string() }}) as value,
    is_stated,
    clause,
    unit || '; ' || source as meaning
from {{ ref('power_assumptions') }}
union all
select
    'simulation' as kind,
    cast(null as {{ dbt.type_string() }}) as programme_id,
    parameter as setting,
    cast(value as {{ dbt.type_string() }}) as value,
    false as is_stated,
    clause,
    meaning || ' (' || unit || ')' as meaning
from {{ ref('power_simulation') }}
