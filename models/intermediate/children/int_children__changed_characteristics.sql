{% set fields = ['gender', 'ethnicity', 'ethnic_group', 'birth_month'] %}

-- Children of an LA for whom the returns state more than one real value of a field that should not change, in the
-- returns of all LAs and in those of this LA alone. What is no value to the covariates is none here: a gender not
-- recorded, an ethnicity refused or not obtained, the birth of the unborn (FV.COV.2).
with stated as (
    select
        identities.la_id,
        identities.child_key,
        case when genders.gender > 0 then genders.gender end as gender,
        case when ethnicities.ethnic_group <> 'Missing' then observations.ethnicity_code end as ethnicity,
        case when ethnicities.ethnic_group <> 'Missing' then ethnicities.ethnic_group end as ethnic_group,
        case
            when not observations.is_expected_birth and not observations.is_unborn
                then observations.birth_month_number
        end as birth_month
    from {{ ref('int_children__observations') }} as observations
    {{ join_identities(
        'observations', 'observations.source_kind', 'observations.birth_month_number',
        'observations.is_expected_birth or observations.is_unborn'
    ) }}
    left join {{ ref('gender_codes') }} as genders
        on
            observations.source_kind = genders.source_kind
            and observations.gender_code = genders.gender_code
            and observations.return_year >= coalesce(genders.first_return_year, observations.return_year)
            and observations.return_year <= coalesce(genders.last_return_year, observations.return_year)
    left join {{ ref('ethnicity_codes') }} as ethnicities
        on observations.ethnicity_code = ethnicities.ethnicity_code
),

in_la as (
    select
        la_id,
        child_key,
        {%- for field in fields %}
        min({{ field }}) as lowest_{{ field }},
        max({{ field }}) as highest_{{ field }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from stated
    group by la_id, child_key
),

anywhere as (
    select
        child_key,
        {%- for field in fields %}
        min(lowest_{{ field }}) <> max(highest_{{ field }}) as has_changed_{{ field }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from in_la
    group by child_key
)

{% for field in fields -%}
select
    in_la.la_id,
    '{{ field }}' as field,
    count(*) as child_count,
    sum(case when anywhere.has_changed_{{ field }} then 1 else 0 end) as changed_count,
    sum(case when in_la.lowest_{{ field }} <> in_la.highest_{{ field }} then 1 else 0 end) as changed_in_la_count
from in_la
inner join anywhere on in_la.child_key = anywhere.child_key
where in_la.lowest_{{ field }} is not null
group by in_la.la_id
{% if not loop.last -%}
union all
{% endif -%}
{% endfor %}
