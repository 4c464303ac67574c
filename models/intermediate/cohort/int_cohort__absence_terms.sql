{{ config(materialized='table') }}

-- The terms that follow a child's referral, in programmes that have an outcome counted in terms, with the sessions of
-- the pupil that the child is linked to (FV.OUT.S5). A term is held where absence was collected and the extract states
-- the pupil's sessions, of summer in both halves; it has a rate where a session was possible. No row is not zero
-- absence. A term counts for pupils aged 5 to 15 on 31 August before its school year.
with pupils as (
    select distinct
        child_key,
        pupil_id
    from {{ ref('int_children__identities') }}
    where pupil_id is not null
),

programmes as (
    select
        programme_id,
        max(window_terms) as term_count
    from {{ ref('programme_outcomes') }}
    where window_terms is not null
    group by programme_id
),

years as (
    select
        pupils.child_key,
        absence.*
    from pupils
    inner join {{ ref('stg_npd__absence') }} as absence on pupils.pupil_id = absence.pupil_id
),

entries as (
    select
        anchors.anchor_id,
        anchors.child_key,
        terms.term_number,
        terms.school_year,
        terms.term,
        terms.is_collected,
        {{ month_number('terms.first_date') }} - {{ month_number('anchors.anchor_date') }} as months_since_referral,
        {{ age_in_august_months('terms.school_year', 'children') }} as age_in_august_months
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_cohort__samples') }} as samples on anchors.sample_number = samples.sample_number
    inner join programmes on samples.programme_id = programmes.programme_id
    inner join {{ ref('int_cohort__following_terms') }} as terms
        on anchors.anchor_date = terms.anchor_date and programmes.term_count >= terms.term_number
    inner join {{ ref('int_children__characteristics') }} as children on anchors.child_key = children.child_key
    where samples.anchor <> 'care_start'
),

stated as (
    select
        entries.*,
        coalesce(
            entries.is_collected
            and case entries.term
                when 'summer'
                    then
                        years.summer_sessions_possible_count is not null
                        and years.summer6th_sessions_possible_count is not null
                {%- for term in ['autumn', 'spring'] %}
                when '{{ term }}' then years.{{ term }}_sessions_possible_count is not null
                {%- endfor %}
            end,
            false
        ) as is_held,
        case entries.term
            when 'summer' then years.summer_sessions_possible_count + years.summer6th_sessions_possible_count
            {%- for term in ['autumn', 'spring'] %}
            when '{{ term }}' then years.{{ term }}_sessions_possible_count
            {%- endfor %}
        end as sessions_possible_count,
        case entries.term
            when 'summer' then years.summer_unauthorised_absence_count + years.summer6th_unauthorised_absence_count
            {%- for term in ['autumn', 'spring'] %}
            when '{{ term }}' then years.{{ term }}_unauthorised_absence_count
            {%- endfor %}
        end as unauthorised_absence_count
    from entries
    left join years on entries.child_key = years.child_key and entries.school_year = years.school_year
)

select
    anchor_id,
    term_number,
    months_since_referral,
    coalesce(age_in_august_months >= 5 * 12 and age_in_august_months < 16 * 12, false) as is_of_school_age,
    is_held,
    is_held and coalesce(sessions_possible_count > 0, false) as is_measured,
    case when is_held then sessions_possible_count end as sessions_possible_count,
    case when is_held then unauthorised_absence_count end as unauthorised_absence_count
from stated
