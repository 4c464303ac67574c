{{ config(materialized='table') }}

-- Trap 5: one code of an LA, several children, and which of them a row means by what it states (DECISIONS D30).
with observations as (
    select
        source_kind,
        return_year,
        la_code,
        la_child_id,
        is_expected_birth or is_unborn as is_unborn_report,
        coalesce(birth_month_number, 0) as stated_month_number
    from {{ ref('int_children__observations') }}
),

-- Few codes have more than one real month of birth at all: only theirs are compared.
differing as (
    select
        la_code,
        la_child_id
    from observations
    where not is_unborn_report and stated_month_number > 0
    group by la_code, la_child_id
    having max(stated_month_number) > min(stated_month_number)
),

candidates as (
    select observations.*
    from observations
    inner join differing
        on observations.la_code = differing.la_code and observations.la_child_id = differing.la_child_id
),

-- The real months of birth that each return states.
returns as (
    select
        source_kind,
        return_year,
        la_code,
        la_child_id,
        min(stated_month_number) as first_month_number,
        max(stated_month_number) as last_month_number
    from candidates
    where not is_unborn_report and stated_month_number > 0
    group by source_kind, return_year, la_code, la_child_id
),

-- Two months in one return, or more than a year between any two; every other difference is a correction.
codes as (
    select
        la_code,
        la_child_id
    from returns
    group by la_code, la_child_id
    having
        max(last_month_number) - min(first_month_number) > 12
        or max(last_month_number - first_month_number) > 0
),

reports as (
    select distinct candidates.*
    from candidates
    inner join codes
        on candidates.la_code = codes.la_code and candidates.la_child_id = codes.la_child_id
),

owners as (
    select distinct
        la_code,
        la_child_id,
        stated_month_number as owner_month_number
    from reports
    where not is_unborn_report and stated_month_number > 0
),

near_births as (
    select
        reports.*,
        owners.owner_month_number,
        row_number() over (
            partition by
                reports.source_kind,
                reports.return_year,
                reports.la_code,
                reports.la_child_id,
                reports.stated_month_number
            order by
                abs(owners.owner_month_number - reports.stated_month_number),
                owners.owner_month_number
        ) as nearness
    from reports
    inner join owners
        on reports.la_code = owners.la_code and reports.la_child_id = owners.la_child_id
    where
        reports.is_unborn_report
        and reports.stated_month_number > 0
        and abs(owners.owner_month_number - reports.stated_month_number) <= 12
),

settled as (
    select
        source_kind,
        return_year,
        la_code,
        la_child_id,
        is_unborn_report,
        stated_month_number,
        stated_month_number as owner_month_number
    from reports
    where not is_unborn_report and stated_month_number > 0
    union all
    select
        source_kind,
        return_year,
        la_code,
        la_child_id,
        is_unborn_report,
        stated_month_number,
        owner_month_number
    from near_births
    where nearness = 1
    union all
    -- What states nothing, as an episode of care: the one child of the same return.
    select
        returns.source_kind,
        returns.return_year,
        returns.la_code,
        returns.la_child_id,
        false as is_unborn_report,
        0 as stated_month_number,
        returns.first_month_number as owner_month_number
    from returns
    inner join codes
        on returns.la_code = codes.la_code and returns.la_child_id = codes.la_child_id
    where returns.first_month_number = returns.last_month_number
)

-- A row that finds no match here belongs to none of them: it is kept under the code with an unknown birth.
select * from settled
