{{ config(materialized='table') }}

-- The terms that follow a child's referral and in which it is of school age, aged 5 to 15 on 31 August before the school
-- year, with the sessions of the pupil that it is linked to. A term is measured where absence was collected and the
-- extract holds that term and the pupil with a possible session (FV.OUT.S5). No row is not zero absence.
with pupils as (
    select distinct
        child_id,
        pupil_id
    from {{ ref('int_children__identities') }}
    where pupil_id is not null
),

parts as (
    select distinct
        school_year,
        term
    from {{ ref('stg_npd__absence') }}
),

-- Summer has two halves; one alone is not the term.
held as (
    select
        school_year,
        case when term = 'summer6th' then 'summer' else term end as term
    from parts
    group by school_year, case when term = 'summer6th' then 'summer' else term end
    having count(*) = case when min(term) = 'summer' then 2 else 1 end
),

sessions as (
    select
        school_year,
        pupil_id,
        case when term = 'summer6th' then 'summer' else term end as term,
        sum(sessions_possible_count) as sessions_possible_count,
        sum(unauthorised_absence_count) as unauthorised_absence_count
    from {{ ref('stg_npd__absence') }}
    group by school_year, pupil_id, case when term = 'summer6th' then 'summer' else term end
),

entries as (
    select
        anchors.anchor_id,
        anchors.cohort,
        anchors.programme_id,
        anchors.child_id,
        anchors.anchor_date,
        terms.term_number,
        terms.school_year,
        terms.term,
        terms.first_date as term_start_date,
        terms.is_collected,
        {{ month_number('anchors.anchor_date') }} as anchor_month_number
    from {{ ref('int_cohort__anchors') }} as anchors
    inner join {{ ref('int_cohort__following_terms') }} as terms on anchors.anchor_date = terms.anchor_date
    inner join {{ ref('int_children__characteristics') }} as children on anchors.child_id = children.child_id
    where
        anchors.anchor = 'referral'
        and {{ age_in_august_months('terms.school_year', 'children') }} >= 5 * 12
        and {{ age_in_august_months('terms.school_year', 'children') }} < 16 * 12
)

select
    entries.anchor_id,
    entries.cohort,
    entries.programme_id,
    entries.child_id,
    entries.term_number,
    entries.school_year,
    entries.term,
    entries.term_start_date,
    {{ month_number('entries.term_start_date') }} - entries.anchor_month_number as months_since_referral,
    coalesce(
        entries.is_collected and held.term is not null and sessions.sessions_possible_count > 0, false
    ) as is_measured,
    sessions.sessions_possible_count,
    sessions.unauthorised_absence_count
from entries
left join held on entries.school_year = held.school_year and entries.term = held.term
left join pupils on entries.child_id = pupils.child_id
left join sessions
    on
        pupils.pupil_id = sessions.pupil_id
        and entries.school_year = sessions.school_year
        and entries.term = sessions.term
