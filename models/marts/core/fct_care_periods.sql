select
    {{ id_of('care_period_key') }} as care_period_id,
    {{ id_of('child_key') }} as child_id,
    la_id,
    care_start_date,
    care_end_date,
    reason_care_ceased_code,
    is_end_inferred,
    cast(episode_count as integer) as episode_count
from {{ ref('int_spells__care_periods') }}
