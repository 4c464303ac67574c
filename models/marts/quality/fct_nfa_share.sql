with counts as (
    select
        *,
        100 * cast(nfa_count as {{ type_double() }}) / nullif(referral_count, 0) as nfa_pct,
        case
            when period_kind = 'year'
                then {{ add_days(return_year_end('return_year - 2'), 1) }}
            else {{ add_months('period_start_date', -3) }}
        end as previous_start_date
    from {{ ref('int_quality__nfa_counts') }}
),

compared as (
    select
        counts.period_kind,
        counts.la_id,
        counts.period_start_date,
        counts.return_year,
        counts.referral_count,
        counts.nfa_count,
        counts.nfa_pct,
        counts.nfa_pct - previous.nfa_pct as change_points,
        cast(counts.referral_count as {{ type_double() }}) / nullif(previous.referral_count, 0) as referral_ratio,
        coalesce(
            counts.referral_count >= limits.quality_minimum_count
            and previous.referral_count >= limits.quality_minimum_count,
            false
        ) as is_judged
    from counts
    cross join {{ ref('int_quality__settings') }} as limits
    left join counts as previous
        on
            counts.period_kind = previous.period_kind
            and counts.la_id = previous.la_id
            and counts.previous_start_date = previous.period_start_date
)

-- A break of recording: the share moves by more points than the setting, between two neighbouring periods that both
-- hold enough referrals (FV.SAMPLE.6). The number of referrals is judged by year only: quarters have a season.
select
    compared.period_kind,
    compared.la_id,
    compared.period_start_date,
    compared.return_year,
    compared.referral_count,
    compared.nfa_count,
    compared.nfa_pct,
    compared.change_points,
    compared.referral_ratio,
    compared.is_judged and coalesce(abs(compared.change_points) >= limits.nfa_break_points, false) as is_break,
    compared.is_judged
    and compared.period_kind = 'year'
    and (
        compared.referral_ratio >= limits.referral_break_ratio
        or compared.referral_ratio <= 1 / nullif(limits.referral_break_ratio, 0)
    ) as is_referral_break
from compared
cross join {{ ref('int_quality__settings') }} as limits
