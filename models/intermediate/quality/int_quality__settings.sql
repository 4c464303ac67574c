{{ config(materialized='table') }}

-- What the quality rules are judged by, as numbers beside each other.
select
    max(case when setting = 'nfa_break_points' then cast(value as {{ type_double() }}) end) as nfa_break_points,
    max(case when setting = 'referral_break_ratio' then cast(value as {{ type_double() }}) end)
        as referral_break_ratio,
    max(case when setting = 'quality_minimum_count' then cast(value as {{ type_double() }}) end)
        as quality_minimum_count,
    max(case when setting = 'join_coverage_floor_ratio' then cast(value as {{ type_double() }}) end)
        as join_coverage_floor_ratio,
    1 as settings_number
from {{ ref('evaluation_settings') }}
where setting in (
    'nfa_break_points', 'referral_break_ratio', 'quality_minimum_count', 'join_coverage_floor_ratio'
)
