-- Codes that a field may hold, with the returns that may hold them; codes without years are valid in all (A.3, A.4,
-- B.2). A year of validity that is null is open.
with codes as (
    select
        source_kind,
        'gender' as field,
        gender_code as code,
        first_return_year,
        last_return_year
    from {{ ref('gender_codes') }}
    union all
    {% for source_kind in ['CIN', 'SSDA903'] %}
    select
        '{{ source_kind }}' as source_kind,
        'ethnicity' as field,
        ethnicity_code as code,
        cast(null as integer) as first_return_year,
        cast(null as integer) as last_return_year
    from {{ ref('ethnicity_codes') }}
    union all
    select
        '{{ source_kind }}' as source_kind,
        '{{ "primary need" if source_kind == "CIN" else "category of need" }}' as field,
        primary_need_code as code,
        cast(null as integer) as first_return_year,
        cast(null as integer) as last_return_year
    from {{ ref('primary_need_codes') }}
    union all
    {% endfor %}
    {% for seed, column, source_kind, field in [
        ('referral_source_codes', 'referral_source_code', 'CIN', 'referral source'),
        ('assessment_factor_codes', 'assessment_factor_code', 'CIN', 'assessment factor'),
        ('placement_codes', 'placement_code', 'SSDA903', 'placement'),
        ('reason_episode_ceased_codes', 'reason_episode_ceased_code', 'SSDA903', 'reason episode ceased'),
        ('legal_status_codes', 'legal_status_code', 'SSDA903', 'legal status')
    ] %}
    select
        '{{ source_kind }}' as source_kind,
        '{{ field }}' as field,
        {{ column }} as code,
        first_return_year,
        last_return_year
    from {{ ref(seed) }}
    union all
    {% endfor %}
    select
        'CIN' as source_kind,
        'closure reason' as field,
        closure_reason_code as code,
        first_return_year,
        cast(null as integer) as last_return_year
    from {{ ref('closure_reason_codes') }}
    {% for seed, column, source_kind, field in [
        ('disability_codes', 'disability_code', 'CIN', 'disability'),
        ('abuse_category_codes', 'abuse_category_code', 'CIN', 'category of abuse'),
        ('reason_for_new_episode_codes', 'reason_for_new_episode_code', 'SSDA903', 'reason for new episode')
    ] %}
    union all
    select
        '{{ source_kind }}' as source_kind,
        '{{ field }}' as field,
        {{ column }} as code,
        cast(null as integer) as first_return_year,
        cast(null as integer) as last_return_year
    from {{ ref(seed) }}
    {% endfor %}
)

select
    source_kind,
    field,
    cast(code as {{ dbt.type_string() }}) as code,
    coalesce(first_return_year, 1900) as first_return_year,
    coalesce(last_return_year, 9999) as last_return_year
from codes
