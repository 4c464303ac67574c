-- Referrals by area and period, from the months that the area returned.
with months as (
    select
        la_id,
        month_start_date,
        {{ return_year('month_start_date') }} as return_year,
        referral_count,
        nfa_count
    from {{ ref('int_quality__referral_months') }}
)

select
    'year' as period_kind,
    la_id,
    {{ add_days(return_year_end('return_year - 1'), 1) }} as period_start_date,
    return_year,
    cast(sum(referral_count) as bigint) as referral_count,
    cast(sum(nfa_count) as bigint) as nfa_count
from months
group by la_id, return_year
union all
select
    'quarter' as period_kind,
    la_id,
    {{ quarter_start('month_start_date') }} as period_start_date,
    return_year,
    cast(sum(referral_count) as bigint) as referral_count,
    cast(sum(nfa_count) as bigint) as nfa_count
from months
group by la_id, {{ quarter_start('month_start_date') }}, return_year
