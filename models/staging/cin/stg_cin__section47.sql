with enquiries as (
    {{ governed_source('cin', 'cin_section47') }}
),

tidied as (
    select
        return_year,
        la_code,
        {{ tidy_child_code('la_child_id') }} as la_child_id,
        referral_date,
        enquiry_start_date,
        initial_conference_date
    from enquiries
)

-- A conference of a child moving in has no enquiry (A.6).
select
    return_year,
    la_code,
    la_child_id,
    referral_date,
    enquiry_start_date,
    max(initial_conference_date) as initial_conference_date
from tidied
group by return_year, la_code, la_child_id, referral_date, enquiry_start_date
