{{ config(materialized='table') }}

with published as (
    select
        la_code,
        month_start_date,
        max(value) as published_count,
        max(status_marker) as marker
    from {{ ref('stg_la__published_figures') }}
    where published_table = 'c6' and month_start_date is not null
    group by la_code, month_start_date
),

returned as (
    select distinct
        la_code,
        return_year
    from {{ ref('int_quality__cin_children') }}
),

-- By the code that first reported the referral, in years that this code returned: referrals of other years are those
-- that stayed open into a later return, and none of them is without further action.
referrals as (
    select
        spells.la_id,
        spells.la_code,
        {{ month_start('spells.referral_date') }} as month_start_date,
        count(*) as referral_count,
        cast(sum(case when spells.is_nfa then 1 else 0 end) as bigint) as nfa_count
    from {{ ref('int_spells__referrals') }} as spells
    inner join returned
        on
            spells.la_code = returned.la_code
            and {{ return_year('spells.referral_date') }} = returned.return_year
    group by spells.la_id, spells.la_code, {{ month_start('spells.referral_date') }}
)

select
    referrals.la_id,
    referrals.la_code,
    referrals.month_start_date,
    referrals.referral_count,
    referrals.nfa_count,
    published.published_count,
    published.marker as published_marker
from referrals
left join published
    on referrals.la_code = published.la_code and referrals.month_start_date = published.month_start_date
