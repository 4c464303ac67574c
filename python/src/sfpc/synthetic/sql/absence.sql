-- One pupil in thirty is on two rolls at once: the sessions are split over two rows.
insert into absence_extract
select a.school_year, pupil_code(la.la_code, la.seed, a.number), a.nc_year::varchar,
  nullif(a.possible_autumn, -1) - coalesce(d.possible_autumn, 0), nullif(a.possible_spring, -1),
  nullif(a.possible_summer, -1), nullif(a.possible_summer6th, -1),
  nullif(a.absent_autumn, -1), nullif(a.absent_spring, -1), nullif(a.absent_summer, -1), nullif(a.absent_summer6th, -1)
from absence_rows a cross join la
left join (select number, school_year, possible_autumn // 3 as possible_autumn from absence_rows where number % 30 = 0 and possible_autumn > 0) d
  on d.number = a.number and d.school_year = a.school_year
union all
select a.school_year, pupil_code(la.la_code, la.seed, a.number), a.nc_year::varchar,
  a.possible_autumn // 3, 0, 0, 0, 0, 0, 0, 0
from absence_rows a cross join la
where a.number % 30 = 0 and a.possible_autumn > 0;
