with absence as (
    {{ governed_source('npd', 'npd_absence', key='pupil') }}
)

-- Rows of one pupil (two rolls, a move) are summed; a term that no row holds stays unknown (C.2, trap 26).
select
    school_year,
    {{ tidy_pupil_code('pupil_id') }} as pupil_id,
    sum(sessions_possible_autumn) as sessions_possible_autumn,
    sum(sessions_possible_spring) as sessions_possible_spring,
    sum(sessions_possible_summer) as sessions_possible_summer,
    sum(sessions_possible_summer6th) as sessions_possible_summer6th
from absence
group by school_year, {{ tidy_pupil_code('pupil_id') }}
