{{ config(materialized='table') }}

-- Programmes that these extracts can say something about: at least one treatment LA sent returns. The others stay rows
-- without a cohort (FV.PROG.5).
with present as (
    select distinct la_id from {{ ref('int_programmes__coverage') }}
)

select distinct areas.programme_id
from {{ ref('int_programmes__local_authorities') }} as areas
inner join present on areas.la_id = present.la_id
where areas.is_treatment_la
