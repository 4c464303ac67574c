-- LA aggregates on the January census day, for the LA and its successors; about one value in a hundred suppressed.
with codes as (
  select la_code from la
  union
  select la_code from successor
)
select
  s.la_code,
  make_date(y.y::integer, 1, 19) as reference_date,
  m.measure,
  case
    when hash(s.la_code || y.y || m.measure) % 97 = 0 then 'c'
    else round(m.centre + (hash(s.la_code || m.measure) % 2000) / 100.0 + (y.y - 2017) * m.slope, 1)::varchar
  end as "value"
from codes as s
cross join (select unnest(range(2017, 2026)) as y) as y
cross join (
  values ('pupils_fsm_pct', 10.0, 0.9), ('pupils_white_british_pct', 60.0, -0.6)
) as m (measure, centre, slope)
order by s.la_code, y.y, m.measure
