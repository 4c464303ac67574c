select
    la_id,
    la_code,
    month_start_date,
    referral_count,
    nfa_count,
    published_count,
    published_marker,
    100 * (referral_count - published_count) / nullif(published_count, 0) as difference_pct
from {{ ref('int_quality__referral_months') }}
