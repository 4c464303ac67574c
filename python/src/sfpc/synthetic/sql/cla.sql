-- The episode table: a period of care is one to three episodes, after a few days under a temporary code for some.
with period as (
  select
    c.*,
    c."end_with" as stop,
    c.start + c.temporary_days as settled,
    c.start + 5 + (c.cut_1 * (c."end_with" - c.start - 20))::integer as first_cut,
    c.start + 10 + (c.cut_2 * (c."end_with" - c.start - 20))::integer as second_cut
  from care as c
  where c.is_real_with
),
episode as (
  select
    child, start as period_start,
    case i when -1 then start when 0 then settled when 1 then first_cut + gap_days else second_cut end as from_day,
    case when i = -1 then settled when i + 1 = pieces then stop when i = 0 then first_cut else second_cut end as to_day,
    case
      when i = -1 or (i = 0 and temporary_days = 0) then 'S'
      when i = 0 then 'P'
      when legal_1 <> legal_0 and i = 1 then 'B'
      when i = 2 and legal_2 <> legal_1 then 'B'
      else 'P'
    end as rne,
    case i when -1 then legal_0 when 0 then legal_0 when 1 then legal_1 else legal_2 end as legal,
    case i when -1 then temporary when 0 then placement_0 when 1 then placement_1 else placement_2 end as placement,
    case when i + 1 < pieces then 'X1' else "exit" end as rec,
    need
  from (
    select *, unnest(range(case when temporary_days > 0 then -1 else 0 end, pieces)) as i from period
  )
  union all
  select
    child, start, start, "end", 'S', case when is_agreement then 'V4' else 'V3' end, 'U6', 'E8', 'N2'
  from respite
),
dated as (
  select *, day_of(from_day) as started, day_of(to_day) as ceased
  from episode
),
reported as (
  select
    *,
    unnest(range(
      greatest(return_year(started), first_covered_year()),
      least(return_year(ceased), last_covered_year()) + 1
    ))::integer as y
  from dated
  where started <= last_day_covered()
)
select
  case when r.y >= p.successor_year then p.successor_code else la.la_code end as cla_CLA_LA,
  case
    when r.y >= p.third_from_year then p.third_code
    when r.y >= p.second_from_year then p.second_code
    else p.first_code
  end as cla_CHILD_LA_CODE_Anon,
  case when r.y >= p.pupil_from_year then p.pupil_id end as cla_PupilMatchingRefAnonymous,
  r.y as cla_PROCESSING_YEAR,
  case
    when r.y >= 2025 then case when p.is_male then 'M' else 'F' end
    when p.is_male then '1'
    else '2'
  end as cla_SEX,
  case when p.is_ethnicity_missing then 'NOBT' else p.ethnicity end as cla_ETHNIC,
  case when p.is_uasc then '1' else '0' end as cla_UASC_STATUS,
  p.birth_year::integer as year_of_birth,
  p.birth_month::integer as month_of_birth,
  day_of(r.period_start) as poc_start,
  r.started as date_episode_started,
  r.rne as reason_for_new_episode,
  r.legal as legal_status,
  r.need as cla_CAT_NEED,
  r.placement,
  case when return_year(r.ceased) = r.y then r.ceased end as date_episode_ceased,
  case when return_year(r.ceased) = r.y then r.rec end as reason_episode_ceased
from reported as r
inner join person as p on p.number = r.child
cross join la
where not list_contains(la.missing_years, r.y)
order by r.y, r.child, r.started, r.legal
