{{ config(materialized='table') }}

-- The terms that begin after a day, in order, as far as the register of terms reaches. A term opens with the day
-- children come back, not with the day from which its absence is collected; both halves of summer are one term
-- (FV.OUT.S5).
with halves as (
    select
        school_year,
        case when term = 'summer6th' then 'summer' else term end as term,
        case when term = 'autumn' then {{ school_year_start('school_year') }} else first_date end as first_date,
        last_date,
        is_collected
    from {{ ref('school_terms') }}
),

terms as (
    select
        school_year,
        term,
        min(first_date) as first_date,
        max(last_date) as last_date,
        bool_and(is_collected) as is_collected
    from halves
    group by school_year, term
),

days as (
    select referral_date as anchor_date
    from {{ ref('int_spells__referrals') }}
    union
    select care_start_date as anchor_date
    from {{ ref('int_spells__care_periods') }}
    union
    select last_entry_date as anchor_date
    from {{ ref('int_programmes__quarters') }}
    union
    select trial_end_date as anchor_date
    from {{ ref('int_programmes__trial_periods') }}
),

longest as (
    select max(window_terms) as term_count from {{ ref('programme_outcomes') }}
),

numbered as (
    select
        days.anchor_date,
        terms.school_year,
        terms.term,
        terms.first_date,
        terms.last_date,
        terms.is_collected,
        row_number() over (partition by days.anchor_date order by terms.first_date) as term_number
    from days
    inner join terms on days.anchor_date < terms.first_date
)

select numbered.*
from numbered
inner join longest on numbered.term_number <= longest.term_count
