{{ config(materialized='table') }}
{% set terms = ['autumn', 'spring', 'summer', 'summer6th'] %}

-- A table, not a view: it is wide in the extract, long here, and read by term again and again.
with absence as (
    {{ governed_source('npd', 'npd_absence', key='pupil') }}
),

tidied as (
    select
        *,
        {{ tidy_pupil_code('pupil_id') }} as pupil_code
    from absence
),

collected as (
    select
        school_year,
        {%- for term in terms %}
        bool_and(case when term = '{{ term }}' then is_collected end) as is_{{ term }}_collected
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ ref('school_terms') }}
    group by school_year
),

-- A pupil moves or is on two rolls: the sessions of all enrolments are added up. A term without a figure, or that was
-- not collected, is not observed, never 0.
sums as (
    select
        tidied.school_year,
        tidied.pupil_code as pupil_id,
        {%- for term in terms %}
        {%- set is_stated %}
            coalesce(collected.is_{{ term }}_collected, true)
            and tidied.sessions_possible_{{ term }} is not null
            and tidied.unauthorised_absence_{{ term }} is not null
        {%- endset %}
        sum(case when {{ is_stated }} then 1 else 0 end) as {{ term }}_enrolment_count,
        sum(case when {{ is_stated }} then tidied.sessions_possible_{{ term }} end)
            as {{ term }}_sessions_possible_count,
        sum(case when {{ is_stated }} then tidied.unauthorised_absence_{{ term }} end)
            as {{ term }}_unauthorised_absence_count
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from tidied
    left join collected on tidied.school_year = collected.school_year
    group by tidied.school_year, tidied.pupil_code
),

-- More sessions in a year than schools are open: the same enrolment came twice, or two pupils share a reference; no
-- telling which rows are right (DECISIONS D33).
years as (
    select * from sums
    where
        pupil_id is not null
        and (
            {%- for term in terms %}
            coalesce({{ term }}_sessions_possible_count, 0){{ ' +' if not loop.last }}
            {%- endfor %}
        ) <= 420
)

{% for term in terms -%}
select
    school_year,
    pupil_id,
    '{{ term }}' as term,
    cast({{ term }}_enrolment_count as integer) as enrolment_count,
    cast({{ term }}_sessions_possible_count as integer) as sessions_possible_count,
    cast({{ term }}_unauthorised_absence_count as integer) as unauthorised_absence_count,
    100 * cast({{ term }}_unauthorised_absence_count as {{ type_double() }})
    / nullif({{ term }}_sessions_possible_count, 0) as unauthorised_absence_pct
from years
where {{ term }}_enrolment_count > 0
{% if not loop.last -%}
union all
{% endif -%}
{% endfor %}
