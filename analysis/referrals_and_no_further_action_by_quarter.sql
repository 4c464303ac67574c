-- How many referrals does each LA have a quarter, and what share ends without further action? A jump in the share is
-- a change of recording (FV.SAMPLE.6).
select
    areas.la_name,
    cast(date_trunc('quarter', spells.referral_date) as date) as quarter_start_date,
    count(*) as referrals,
    round(100.0 * avg(case when spells.is_nfa then 1 else 0 end), 1) as no_further_action_pct
from {{ ref('fct_referral_spells') }} as spells
inner join {{ ref('dim_local_authorities') }} as areas on spells.la_id = areas.la_id
group by areas.la_name, cast(date_trunc('quarter', spells.referral_date) as date)
order by areas.la_name, quarter_start_date
