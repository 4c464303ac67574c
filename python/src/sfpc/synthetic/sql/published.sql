-- What the published tables count, out of the extracts themselves: referrals, plans, care and absence per LA and
-- year. cin, cla and absence are the extracts; listed holds the LA codes that the register has in each year.
create or replace temp table referral as
with first_return as (
  select
    CIN_LA as la_code, CIN_LAchildID_Anon as child, CIN_ReferralDate as d, y,
    min(CIN_ReferralNFA) = '1' as is_nfa
  from cin
  where return_year(CIN_ReferralDate) = y
  group by all
),
assessed as (
  select CIN_LA as la_code, CIN_LAchildID_Anon as child, CIN_ReferralDate as d,
    bool_or(CIN_ReasonForClosure in ('RC8', 'RC9')) as is_not_in_need
  from cin
  group by all
)
select
  f.*,
  coalesce(a.is_not_in_need, false) as is_not_in_need,
  coalesce(f.d - lag(f.d) over (partition by f.la_code, f.child order by f.d) <= 365, false) as is_repeat
from first_return as f
inner join assessed as a on a.la_code = f.la_code and a.child = f.child and a.d = f.d;

create or replace temp table in_need as
select
  CIN_LA as la_code, y, CIN_LAchildID_Anon as child, CIN_ReferralDate as d,
  return_year(CIN_ReferralDate) = y as is_started,
  bool_or(coalesce(return_year(CIN_CINClosureDate) = y, false)) as is_ended
from cin
where CIN_ReferralNFA = '0'
group by all;

create or replace temp table cin_plan as
select distinct
  CIN_LA as la_code, y, CIN_LAchildID_Anon as child, CIN_CINPlanStartDate as started, CIN_CINPlanEndDate as ended
from cin
where CIN_CINPlanStartDate is not null;

create or replace temp table protection_plan as
select
  CIN_LA as la_code, y, CIN_LAchildID_Anon as child, CIN_CPPstartDate as started,
  max(CIN_NumberOfPreviousCPP) as previous_count
from cin
where CIN_CPPstartDate is not null and return_year(CIN_CPPstartDate) = y
group by all;

-- Short breaks are not in the published figures of children looked after.
create or replace temp table looked_after as
select
  cla_CLA_LA as la_code, cla_PROCESSING_YEAR as y, cla_CHILD_LA_CODE_Anon as child,
  any_value(cla_PupilMatchingRefAnonymous) as pupil,
  bool_or(return_year(poc_start) = cla_PROCESSING_YEAR) as is_started,
  bool_or(date_episode_ceased is null) as is_at_year_end,
  bool_or(coalesce(reason_episode_ceased <> 'X1', false)) as is_ceased,
  bool_or(date_episode_ceased is null and poc_start <= make_date(cla_PROCESSING_YEAR - 1, 3, 31)) as is_twelve_months
from cla
where legal_status not in ('V3', 'V4')
group by all;

create or replace temp table absent as
with grouped as (
  select la_code, y, pupil, 'CLA 12 months at 31 March' as social_care_group, 1 as place
  from looked_after
  where is_twelve_months and pupil is not null
  union all
  select
    CIN_LA, y, CIN_PupilMatchingRefAnonymous,
    case when CIN_CPPstartDate is not null and CIN_CPPendDate is null then 'CPPO at 31 March' else 'CINO at 31 March' end,
    case when CIN_CPPstartDate is not null and CIN_CPPendDate is null then 2 else 3 end
  from cin
  where CIN_ReferralNFA = '0' and CIN_CINClosureDate is null and CIN_PupilMatchingRefAnonymous is not null
),
-- A child is in one group: looked after, else on a protection plan, else in need.
placed as (
  select la_code, y, pupil, min_by(social_care_group, place) as social_care_group
  from grouped
  group by all
),
sessions as (
  select
    school_year as y, PupilMatchingRefAnonymous as pupil, min(NCyearActual::integer) as nc_year,
    sum(coalesce(SessionsPossible_Autumn, 0) + coalesce(SessionsPossible_Spring, 0)
      + coalesce(SessionsPossible_Summer, 0) + coalesce(SessionsPossible_Summer6th, 0))::bigint as possible,
    sum(coalesce(UnauthorisedAbsence_Autumn, 0) + coalesce(UnauthorisedAbsence_Spring, 0)
      + coalesce(UnauthorisedAbsence_Summer, 0) + coalesce(UnauthorisedAbsence_Summer6th, 0))::bigint as unauthorised
  from absence
  group by all
)
select
  p.la_code, p.y, p.social_care_group,
  unnest(['Total', case when s.nc_year <= 6 then 'State-funded primary' else 'State-funded secondary' end])
    as phase_type_grouping,
  s.possible, s.unauthorised
from placed as p
inner join sessions as s on s.pupil = p.pupil and s.y = p.y;

create or replace temp table population as
select
  la_code, greatest(100, round(18.7 * count(*) / count(distinct y), -1))::bigint as children
from referral
group by la_code;
