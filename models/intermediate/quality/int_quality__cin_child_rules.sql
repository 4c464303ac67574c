with children as (
    select * from {{ ref('int_quality__cin_children') }}
),

-- Codes of a list one by one: a list holds at most the 13 codes there are, so later places need not be read.
places as (
    {% for place in range(1, 14) %}
    select {{ place }} as place
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

disabilities as (
    select
        children.return_year,
        children.la_code,
        children.la_child_id,
        trim(split_part(children.disability_codes, ',', places.place)) as disability_code
    from children
    cross join places
    where children.disability_codes like '%,%'
),

lists as (
    select
        return_year,
        la_code,
        la_child_id,
        bool_or(disability_code = 'NONE') and count(distinct disability_code) > 1 as has_none_and_others,
        count(*) > count(distinct disability_code) as has_repeats
    from disabilities
    where disability_code <> ''
    group by return_year, la_code, la_child_id
)

-- Births are held by month: a rule about days is broken where it is broken on any day of the month (A.5, trap 14).
select
    children.return_year,
    children.la_code,
    children.la_child_id,
    children.first_birth_month_number <> children.last_birth_month_number as rule_8510,
    children.last_birth_month_number > children.return_year * 12 + 2 as rule_8520,
    coalesce(children.last_birth_month_number, children.expected_birth_month_number) is null as rule_8525q,
    case
        when children.expected_birth_month_number is not null
            then
                children.expected_birth_month_number < children.return_year * 12 + 2
                or children.expected_birth_month_number > children.return_year * 12 + 11
    end as rule_8530q,
    case when children.is_unborn and children.last_birth_month_number is null then coalesce(children.gender, 0) > 0 end
        as rule_8750,
    children.return_year * 12 + 2 - children.last_birth_month_number > 300
    and extract(year from children.last_date) * 12 + extract(month from children.last_date) - 1
    - children.last_birth_month_number > 300 as rule_8775q,
    case when children.disability_codes not in ('0', '1') then coalesce(lists.has_none_and_others, false) end
        as rule_8790,
    case when children.disability_codes not in ('0', '1') then coalesce(lists.has_repeats, false) end as rule_8794,
    children.first_open_referral_date < children.last_open_referral_date as rule_8815
from children
left join lists
    on
        children.return_year = lists.return_year
        and children.la_code = lists.la_code
        and children.la_child_id = lists.la_child_id
