-- One pupil in thirty is on two rolls at once: the autumn's sessions are split over two rows.
with rolls as (
  select
    *,
    case
      when number % 30 = 0 and possible_autumn > 0 then [possible_autumn - possible_autumn // 3, possible_autumn // 3]
      else [possible_autumn]
    end as autumns
  from absence_rows
),
enrolled as (
  select *, unnest(range(1, len(autumns) + 1)) as roll
  from rolls
)
select
  e.school_year::integer as school_year,
  p.pupil_id as PupilMatchingRefAnonymous,
  e.nc_year::varchar as NCyearActual,
  nullif(e.autumns[e.roll], -1)::integer as SessionsPossible_Autumn,
  case when e.roll = 1 then nullif(e.possible_spring, -1) else 0 end::integer as SessionsPossible_Spring,
  case when e.roll = 1 then nullif(e.possible_summer, -1) else 0 end::integer as SessionsPossible_Summer,
  case when e.roll = 1 then nullif(e.possible_summer6th, -1) else 0 end::integer as SessionsPossible_Summer6th,
  case when e.roll = 1 then nullif(e.absent_autumn, -1) else 0 end::integer as UnauthorisedAbsence_Autumn,
  case when e.roll = 1 then nullif(e.absent_spring, -1) else 0 end::integer as UnauthorisedAbsence_Spring,
  case when e.roll = 1 then nullif(e.absent_summer, -1) else 0 end::integer as UnauthorisedAbsence_Summer,
  case when e.roll = 1 then nullif(e.absent_summer6th, -1) else 0 end::integer as UnauthorisedAbsence_Summer6th
from enrolled as e
inner join person as p on p.number = e.number
order by e.school_year, e.number, e.roll
