{{ config(materialized='table') }}

-- A table, not a view: every census is read for it.
with pupils as (
    {{ governed_source('npd', 'npd_pupils', key='pupil') }}
),

tidied as (
    select
        census_year,
        {{ tidy_pupil_code('pupil_id') }} as pupil_id,
        {{ tidy_code('nc_year') }} as nc_year_code,
        {{ tidy_flag('fsm_eligible') }} as is_fsm_eligible,
        {{ tidy_flag('ever_fsm_6') }} as is_ever_fsm_6,
        {{ tidy_flag('ever_fsm_6_p') }} as is_ever_fsm_6_pupil_premium,
        {{ tidy_flag('ever_fsm_all') }} as is_ever_fsm_all
    from pupils
)

-- A pupil on two rolls is one pupil: any indication counts, and a field that no
-- row states stays unknown (FV.COV.2).
select
    census_year,
    pupil_id,
    min(nc_year_code) as nc_year_code,
    bool_or(is_fsm_eligible) as is_fsm_eligible,
    bool_or(is_ever_fsm_6) as is_ever_fsm_6,
    bool_or(is_ever_fsm_6_pupil_premium) as is_ever_fsm_6_pupil_premium,
    bool_or(is_ever_fsm_all) as is_ever_fsm_all
from tidied
group by census_year, pupil_id
