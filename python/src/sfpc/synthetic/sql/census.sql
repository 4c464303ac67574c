-- Spring censuses from the school year before the first referral to the second after the last, ages 4 to 15.
with enrolled as (
  select
    p.*,
    unnest(range(
      greatest(p.first_school_year, first_covered_year()),
      least(p.last_school_year, last_covered_year()) + 1
    ))::integer as census_year
  from person as p
  where p.pupil_id is not null
),
aged as (
  select
    *,
    census_year - 1 - birth_year - (birth_month > 8)::integer as age
  from enrolled
)
select
  census_year,
  pupil_id as PupilMatchingRefAnonymous,
  birth_year::integer as YearOfBirth,
  birth_month::integer as MonthOfBirth,
  case when is_male then 'M' else 'F' end as Gender,
  case when is_ethnicity_missing then 'NOBT' else ethnicity end as EthnicGroupMinor,
  (age - 4)::varchar as NCyearActual,
  case when is_fsm and (number + census_year) % 10 > 0 then '1' else '0' end as FSMeligible,
  case when census_year <> 2020 then case when is_fsm then '1' else '0' end end as EVERFSM_6,
  case when is_fsm then '1' else '0' end as EVERFSM_6_P,
  case when is_fsm then '1' else '0' end as EVERFSM_ALL
from aged
where age between 4 and 15
order by census_year, number
