{{ config(materialized='table') }}

-- What one return says of one child, conflicts kept apart: births as the lowest and the highest month that are
-- given, codes as the highest that is known.
with records as (
    select
        records.*,
        case
            when records.birth_month between 1 and 12 then records.birth_year * 12 + records.birth_month - 1
        end as sent_month_number,
        genders.gender,
        coalesce(ethnicities.ethnic_group <> 'Missing', false) as is_ethnicity_known
    from {{ ref('stg_cin__records') }} as records
    left join {{ ref('gender_codes') }} as genders
        on
            genders.source_kind = 'CIN'
            and records.gender_code = genders.gender_code
            and records.return_year >= coalesce(genders.first_return_year, records.return_year)
            and records.return_year <= coalesce(genders.last_return_year, records.return_year)
    left join {{ ref('ethnicity_codes') }} as ethnicities on records.ethnicity_code = ethnicities.ethnicity_code
)

select
    return_year,
    la_code,
    la_child_id,
    count(*) as row_count,
    min(case when not is_expected_birth then sent_month_number end) as first_birth_month_number,
    max(case when not is_expected_birth then sent_month_number end) as last_birth_month_number,
    max(case when is_expected_birth then sent_month_number end) as expected_birth_month_number,
    bool_or(is_expected_birth or is_unborn) as is_unborn,
    max(gender) as gender,
    bool_or(is_ethnicity_known) as has_ethnicity,
    max(disability_codes) as disability_codes,
    count(pupil_id) > 0 as has_pupil_id,
    min(case when closure_date is null and not is_nfa then referral_date end) as first_open_referral_date,
    max(case when closure_date is null and not is_nfa then referral_date end) as last_open_referral_date,
    max(coalesce(closure_date, {{ return_year_end('return_year') }})) as last_date
from records
group by return_year, la_code, la_child_id
