with absence as (
    {{ governed_source('npd', 'npd_absence', key='pupil') }}
),

terms as (
    {%- for term in ['autumn', 'spring', 'summer', 'summer6th'] %}
    select
        school_year,
        {{ tidy_pupil_code('pupil_id') }} as pupil_id,
        '{{ term }}' as term,
        sessions_possible_{{ term }} as sessions_possible,
        unauthorised_absence_{{ term }} as unauthorised_absence
    from absence
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}
),

-- A pupil moves or is on two rolls: the sessions of all enrolments are added up. A term without a figure is not
-- observed, never 0.
sums as (
    select
        terms.school_year,
        terms.pupil_id,
        terms.term,
        count(*) as enrolment_count,
        sum(terms.sessions_possible) as sessions_possible_count,
        sum(terms.unauthorised_absence) as unauthorised_absence_count
    from terms
    left join {{ ref('school_terms') }} as calendar
        on terms.school_year = calendar.school_year and terms.term = calendar.term
    where
        terms.pupil_id is not null
        and terms.sessions_possible is not null
        and terms.unauthorised_absence is not null
        and coalesce(calendar.is_collected, true)
    group by terms.school_year, terms.pupil_id, terms.term
),

years as (
    select
        school_year,
        pupil_id
    from sums
    group by school_year, pupil_id
    having sum(sessions_possible_count) <= 420
)

-- More sessions in a year than schools are open: the same enrolment came twice, or two pupils share a reference; no
-- telling which rows are right (DECISIONS D33).
select
    sums.school_year,
    sums.pupil_id,
    sums.term,
    cast(sums.enrolment_count as integer) as enrolment_count,
    cast(sums.sessions_possible_count as integer) as sessions_possible_count,
    cast(sums.unauthorised_absence_count as integer) as unauthorised_absence_count,
    100 * cast(sums.unauthorised_absence_count as {{ type_double() }}) / nullif(sums.sessions_possible_count, 0)
        as unauthorised_absence_pct
from sums
inner join years on sums.school_year = years.school_year and sums.pupil_id = years.pupil_id
