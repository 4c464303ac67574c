with enquiries as (
    {{ governed_source('cin', 'cin_section47') }}
)

select distinct
    return_year,
    la_code,
    {{ tidy_child_code('la_child_id') }} as la_child_id,
    referral_date,
    enquiry_start_date,
    initial_conference_date
from enquiries
