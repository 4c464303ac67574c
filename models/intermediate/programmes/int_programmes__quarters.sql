{{ config(materialized='table') }}

-- Calendar quarters in which anybody was referred or started to be looked after (FV.PROG.4).
with quarters as (
    select distinct {{ quarter_start('referral_date') }} as quarter_start_date
    from {{ ref('int_spells__referrals') }}
    union
    select distinct {{ quarter_start('care_start_date') }} as quarter_start_date
    from {{ ref('int_spells__care_periods') }}
)

select
    quarter_start_date,
    {{ add_months('quarter_start_date', 3) }} as next_quarter_date,
    {{ add_days(add_months('quarter_start_date', 3), -1) }} as last_entry_date
from quarters
