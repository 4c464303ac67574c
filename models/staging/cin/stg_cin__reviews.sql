with reviews as (
    {{ governed_source('cin', 'cin_reviews') }}
)

select distinct
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    cpp_start_date,
    review_date
from reviews
