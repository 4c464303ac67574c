-- Names shared by all LAs of a run. Days of the draws are integers since 1970-01-01.
create macro day_of(n) as date '1970-01-01' + n::integer;
create macro return_year(d) as year(d) + (month(d) >= 4)::integer;
create macro school_year(d) as year(d) + (month(d) >= 9)::integer;
create macro year_end(y) as make_date(y, 3, 31);
create macro first_covered_year() as 2018;
create macro last_covered_year() as 2025;
create macro last_day_covered() as date '2025-03-31';
create macro child_code(la_code, seed, number, version) as
  upper(left(md5(concat_ws(':', 'child', seed, la_code, number, version)), 12));
create macro pupil_code(la_code, seed, number) as
  upper(left(md5(concat_ws(':', 'pupil', seed, la_code, number)), 16));
