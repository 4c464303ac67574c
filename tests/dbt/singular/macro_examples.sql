-- The worked examples of macros/_macros.yml (FV.PROG.4: years and quarters); rows are the ones that do not hold.
with examples as (
    select
        cast('2021-08-31' as date) as august,
        cast('2021-02-28' as date) as february,
        cast('2024-02-10' as date) as leap_year,
        cast('2021-03-31' as date) as march,
        cast('2021-04-01' as date) as april,
        cast('2021-09-01' as date) as september,
        2022 as a_return_year,
        24254 as a_month,
        18 as window_months,
        cast(null as date) as last_date,
        24199 as birth_month_number,
        ' n1 ' as need_text,
        '0123.0' as child_text,
        ' 7a' as blank_child_text,
        '7a' as plain_child_text,
        'UN3' as pupil_text,
        ' p1 ' as blank_pupil_text,
        chr(160) || 'p1' as pasted_pupil_text,
        chr(160) || '7a' as pasted_child_text,
        'True' as yes_text,
        'N/A' as unknown_text,
        '#MULTIVALUE' as several_text,
        2014 as return_year,
        2013 as birth_year,
        5 as birth_month,
        '0' as is_expected_birth,
        '1' as is_unborn,
        '27' as named_text,
        13076427599718317 as a_key
),

checked as (
    select
        {{ add_months('august', 18) }} = cast('2023-02-28' as date) as add_months_holds,
        {{ add_days('february', 1) }} = cast('2021-03-01' as date) as add_days_holds,
        {{ month_start('leap_year') }} = cast('2024-02-01' as date)
        and {{ month_end('leap_year') }} = cast('2024-02-29' as date) as month_end_holds,
        {{ quarter_start('march') }} = cast('2021-01-01' as date) as quarter_start_holds,
        {{ return_year('april') }} = 2022 and {{ return_year('march') }} = 2021 as return_year_holds,
        {{ return_year_end('a_return_year') }} = cast('2022-03-31' as date) as return_year_end_holds,
        {{ financial_year_label('a_return_year') }} = '2021/22' as financial_year_label_holds,
        {{ school_year('september') }} = 2022 and {{ school_year('august') }} = 2021 as school_year_holds,
        {{ school_year_start('a_return_year') }} = cast('2021-09-01' as date) as school_year_start_holds,
        {{ month_number('march') }} = 24254
        and {{ month_from_number('a_month') }} = cast('2021-03-01' as date) as month_number_holds,
        {{ days_between('february', 'examples.march') }} = 31
        and {{ far_future() }} > cast('9999-01-01' as date) as days_between_holds,
        {{ follow_up_end('august', 'examples', 'examples') }} = cast('2023-02-28' as date) as follow_up_end_holds,
        {{ age_in_august_months('a_return_year', 'examples') }} = 60 as age_in_august_months_holds,
        {{ tidy_code('need_text') }} = 'N1' and {{ tidy_code('several_text') }} is null as tidy_code_holds,
        {{ birth_month_number() }} = 24160 as birth_month_number_holds,
        {{ says_unborn() }} as says_unborn_holds,
        {{ may_hold_blank('blank_pupil_text') }} and not {{ may_hold_blank('pupil_text') }} as may_hold_blank_holds,
        {{ trimmed('blank_pupil_text') }} = 'p1' and {{ trimmed('pasted_pupil_text') }} = 'p1' as trimmed_holds,
        {{ tidy_child_code('child_text') }} = '0123'
        and {{ tidy_child_code('blank_child_text') }} = '7A'
        and {{ tidy_child_code('pasted_child_text') }} = '7A'
        and {{ tidy_child_code('plain_child_text') }} = '7A' as tidy_child_code_holds,
        {{ tidy_pupil_code('pupil_text') }} is null
        and {{ tidy_pupil_code('pasted_pupil_text') }} = 'P1'
        and {{ tidy_pupil_code('blank_pupil_text') }} = 'P1' as tidy_pupil_code_holds,
        {{ tidy_flag('yes_text') }} and {{ tidy_flag('unknown_text') }} is null as tidy_flag_holds,
        {{ joined_text(['return_year', 'last_date']) }} = '2014|~' as joined_text_holds,
        {{ key_of('named_text') }} = 13076427599718317 and {{ id_of('a_key') }} = '02e74f10e0327ad' as key_of_holds
    from examples
)

select *
from checked
where not (
    add_months_holds and add_days_holds and month_end_holds and quarter_start_holds and return_year_holds
    and return_year_end_holds and financial_year_label_holds and school_year_holds and school_year_start_holds
    and month_number_holds and days_between_holds and follow_up_end_holds and age_in_august_months_holds
    and tidy_code_holds and birth_month_number_holds and says_unborn_holds and tidy_child_code_holds
    and may_hold_blank_holds and trimmed_holds and tidy_pupil_code_holds and tidy_flag_holds and joined_text_holds
    and key_of_holds
)
