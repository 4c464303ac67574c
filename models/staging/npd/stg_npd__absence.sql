{{ config(materialized='table') }}
{% set terms = ['autumn', 'spring', 'summer', 'summer6th'] %}

-- A table, not a view: all enrolments of a pupil are added up, and read again and again.
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
        cast(sum(case when {{ is_stated }} then tidied.sessions_possible_{{ term }} end) as integer)
            as {{ term }}_sessions_possible_count,
        cast(sum(case when {{ is_stated }} then tidied.unauthorised_absence_{{ term }} end) as integer)
            as {{ term }}_unauthorised_absence_count
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from tidied
    left join collected on tidied.school_year = collected.school_year
    group by tidied.school_year, tidied.pupil_code
    -- Not asked of each row: the engine would tidy its reference once more for every text that it is compared with.
    having count(tidied.pupil_code) > 0
)

-- More sessions in a year than schools are open: the same enrolment came twice, or two pupils share a reference; no
-- telling which rows are right (DECISIONS D33). A pupil without a figure in any term was not observed that year.
select *
from sums
where
    (
        {%- for term in terms %}
        coalesce({{ term }}_sessions_possible_count, 0){{ ' +' if not loop.last }}
        {%- endfor %}
    ) <= 420
    and coalesce(
        {%- for term in terms %}
        {{ term }}_sessions_possible_count{{ ',' if not loop.last }}
        {%- endfor %}
    ) is not null
