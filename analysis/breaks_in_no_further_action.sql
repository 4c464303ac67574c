-- Where does the share of referrals without further action jump from one year to the next (FV.SAMPLE.6)?
select
    areas.la_name,
    counted.return_year,
    counted.referral_count,
    round(counted.nfa_pct, 1) as nfa_pct,
    round(counted.change_points, 1) as change_points,
    round(counted.referral_ratio, 2) as referral_ratio
from {{ ref('fct_nfa_share') }} as counted
inner join {{ ref('dim_local_authorities') }} as areas on counted.la_id = areas.la_id
where counted.period_kind = 'year' and (counted.is_break or counted.is_referral_break)
order by areas.la_name, counted.return_year
