{{ config(materialized='table') }}

-- Which fields a return leaves blank, among the things that should have them: a child not yet born has no gender,
-- ethnicity, disability or pupil number, a referral without further action no need, an open one no reason (A.5, A.6).
-- Per source: relation, then field, which rows should have it, and whether they do not.
{% set sources = [
    ('children', 'CIN', [
        ('gender', 'not is_not_born', 'coalesce(gender, 0) = 0'),
        ('ethnicity', 'not is_not_born', 'not has_ethnicity'),
        ('disability', 'not is_not_born', 'disability_codes is null'),
        ('month of birth', 'true', 'coalesce(last_birth_month_number, expected_birth_month_number) is null'),
        ('pupil reference at school age', 'is_school_age', 'not has_pupil_id')
    ]),
    ('referrals', 'CIN', [
        ('referral source', 'true', 'referral_source_code is null'),
        ('primary need', 'not is_nfa', 'primary_need_code is null'),
        ('closure reason', 'closure_date is not null', 'closure_reason_code is null')
    ]),
    ('looked_after', 'SSDA903', [
        ('gender', 'true', 'coalesce(gender, 0) = 0'),
        ('ethnicity', 'true', 'has_ethnicity = 0'),
        ('month of birth', 'true', 'birth_month_number is null'),
        ('pupil reference at school age', 'is_school_age', 'pupil_id is null')
    ]),
    ('episodes', 'SSDA903', [
        ('reason for new episode', 'true', 'reason_for_new_episode_code is null'),
        ('legal status', 'true', 'legal_status_code is null'),
        ('placement', 'true', 'placement_code is null'),
        ('category of need', 'true', 'category_of_need_code is null'),
        ('reason episode ceased', 'episode_end_date is not null', 'reason_episode_ceased_code is null')
    ])
] %}

with children as (
    select
        *,
        is_unborn and last_birth_month_number is null as is_not_born,
        coalesce((return_year - 1) * 12 + 7 - last_birth_month_number between 60 and 191, false) as is_school_age
    from {{ ref('int_quality__cin_children') }}
),

referrals as (
    select * from {{ ref('stg_cin__records') }}
),

births as (
    select
        children.return_year,
        children.la_code,
        children.la_child_id,
        max(genders.gender) as gender,
        max(case when ethnicities.ethnic_group <> 'Missing' then 1 else 0 end) as has_ethnicity,
        max(
            case when children.birth_month between 1 and 12 then children.birth_year * 12 + children.birth_month - 1 end
        ) as birth_month_number,
        max(children.pupil_id) as pupil_id
    from {{ ref('stg_cla__children') }} as children
    left join {{ ref('gender_codes') }} as genders
        on
            genders.source_kind = 'SSDA903'
            and children.gender_code = genders.gender_code
            and children.return_year >= coalesce(genders.first_return_year, children.return_year)
            and children.return_year <= coalesce(genders.last_return_year, children.return_year)
    left join {{ ref('ethnicity_codes') }} as ethnicities on children.ethnicity_code = ethnicities.ethnicity_code
    group by children.return_year, children.la_code, children.la_child_id
),

looked_after as (
    select
        *,
        coalesce((return_year - 1) * 12 + 7 - birth_month_number between 60 and 191, false) as is_school_age
    from births
),

episodes as (
    select * from {{ ref('stg_cla__episodes') }}
),
{% for relation, source_kind, fields in sources %}
{{ relation }}__counts as (
    select
        la_code,
        return_year,
        {% for field, asked, missing in fields %}
        sum(case when {{ asked }} then 1 else 0 end) as asked_{{ loop.index }},
        sum(case when {{ asked }} and {{ missing }} then 1 else 0 end) as missing_{{ loop.index }},
        {% endfor %}
        count(*) as row_count
    from {{ relation }}
    group by la_code, return_year
),
{% endfor %}
counted as (
    {% for relation, source_kind, fields in sources %}
    {% set is_last_source = loop.last %}
    {% for field, asked, missing in fields %}
    select
        '{{ source_kind }}' as source_kind,
        '{{ field }}' as field,
        la_code,
        return_year,
        asked_{{ loop.index }} as row_count,
        missing_{{ loop.index }} as missing_count
    from {{ relation }}__counts
    {{ 'union all' if not (loop.last and is_last_source) }}
    {% endfor %}
    {% endfor %}
)

select
    counted.source_kind,
    counted.field,
    areas.la_id,
    counted.la_code,
    counted.return_year,
    cast(counted.row_count as bigint) as row_count,
    cast(counted.missing_count as bigint) as missing_count
from counted
inner join {{ ref('int_programmes__continuing_areas') }} as areas on counted.la_code = areas.la_code
where counted.row_count > 0
