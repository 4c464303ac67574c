{{ config(materialized='table') }}

with areas as (
    select * from {{ ref('int_programmes__continuing_areas') }}
),

-- A code counts once, also where it stands for several children (trap 5).
identities as (
    select
        la_code,
        la_child_id,
        min(la_id) as la_id,
        min(child_key) as child_key,
        max(pupil_id) as pupil_id,
        max(birth_month_number) as birth_month_number
    from {{ ref('int_children__identities') }}
    group by la_code, la_child_id
),

children as (
    select
        children.return_year,
        children.la_code,
        identities.la_id,
        identities.child_key,
        identities.pupil_id,
        -- A return year and the school year that ends in the same calendar year share two of three terms and the
        -- census of January; of compulsory age are children of 5 to 15 on 31 August before it (C.2).
        coalesce((children.return_year - 1) * 12 + 7 - identities.birth_month_number between 60 and 191, false)
            as is_school_age
    from {{ ref('int_quality__cin_children') }} as children
    inner join identities
        on children.la_code = identities.la_code and children.la_child_id = identities.la_child_id
),

looked_after as (
    select distinct
        children.return_year,
        children.la_code,
        children.la_child_id,
        identities.la_id,
        identities.child_key,
        identities.pupil_id
    from {{ ref('stg_cla__children') }} as children
    inner join identities
        on children.la_code = identities.la_code and children.la_child_id = identities.la_child_id
),

looked_after_ids as (
    select distinct
        la_id,
        child_key
    from looked_after
),

-- The returns in which a looked-after child of the area stands as a child in need.
needs as (
    select distinct
        children.la_id,
        children.child_key,
        children.return_year
    from children
    inner join looked_after_ids
        on children.la_id = looked_after_ids.la_id and children.child_key = looked_after_ids.child_key
),

ever_in_need as (
    select distinct
        la_id,
        child_key
    from needs
),

-- base_count: children who could be joined; joined_count: those who were. For looked-after children the join is to a
-- children-in-need record, for census and absence it is from a linked child of school age to the pupil's row.
received as (
    select
        'cin' as source,
        la_code,
        return_year,
        sum(row_count) as row_count,
        count(*) as child_count
    from {{ ref('int_quality__cin_children') }}
    group by la_code, return_year
    union all
    select
        'cla' as source,
        la_code,
        return_year,
        count(*) as row_count,
        count(distinct la_child_id) as child_count
    from {{ ref('stg_cla__episodes') }}
    group by la_code, return_year
    union all
    select
        'la_statistics' as source,
        la_code,
        {{ return_year('reference_date') }} as return_year,
        count(*) as row_count,
        cast(null as bigint) as child_count
    from {{ ref('stg_la__statistics') }}
    group by la_code, {{ return_year('reference_date') }}
),

joined as (
    select
        'cin' as source,
        la_code,
        return_year,
        count(pupil_id) as pupil_linked_count,
        cast(null as bigint) as base_count,
        cast(null as bigint) as joined_count,
        cast(null as bigint) as joined_that_year_count
    from children
    group by la_code, return_year
    union all
    select
        'cla' as source,
        looked_after.la_code,
        looked_after.return_year,
        count(looked_after.pupil_id) as pupil_linked_count,
        count(*) as base_count,
        count(ever_in_need.child_key) as joined_count,
        count(needs.child_key) as joined_that_year_count
    from looked_after
    left join ever_in_need
        on looked_after.la_id = ever_in_need.la_id and looked_after.child_key = ever_in_need.child_key
    left join needs
        on
            looked_after.la_id = needs.la_id
            and looked_after.child_key = needs.child_key
            and looked_after.return_year = needs.return_year
    group by looked_after.la_code, looked_after.return_year
),

pupils as (
    select
        children.la_code,
        children.return_year,
        count(*) as base_count,
        count(censuses.pupil_id) as in_census_count,
        count(absence.pupil_id) as in_absence_count
    from children
    left join {{ ref('stg_npd__pupils') }} as censuses
        on children.pupil_id = censuses.pupil_id and children.return_year = censuses.census_year
    left join {{ ref('stg_npd__absence') }} as absence
        on children.pupil_id = absence.pupil_id and children.return_year = absence.school_year
    where children.is_school_age and children.pupil_id is not null
    group by children.la_code, children.return_year
),

school as (
    select
        'spring_census' as source,
        la_code,
        return_year,
        base_count,
        in_census_count as joined_count
    from pupils
    union all
    select
        'absence' as source,
        la_code,
        return_year,
        base_count,
        in_absence_count as joined_count
    from pupils
),

counts as (
    select
        received.source,
        received.la_code,
        received.return_year,
        cast(received.row_count as bigint) as row_count,
        received.child_count,
        cast(joined.pupil_linked_count as bigint) as pupil_linked_count,
        joined.base_count,
        cast(joined.joined_count as bigint) as joined_count,
        cast(joined.joined_that_year_count as bigint) as joined_that_year_count
    from received
    left join joined
        on
            received.source = joined.source
            and received.la_code = joined.la_code
            and received.return_year = joined.return_year
    union all
    select
        source,
        la_code,
        return_year,
        cast(joined_count as bigint) as row_count,
        cast(joined_count as bigint) as child_count,
        cast(joined_count as bigint) as pupil_linked_count,
        base_count,
        cast(joined_count as bigint) as joined_count,
        cast(null as bigint) as joined_that_year_count
    from school
),

-- The years that a source holds at all, in any LA.
source_years as (
    select
        source,
        min(return_year) as first_year,
        max(return_year) as last_year
    from counts
    where row_count > 0
    group by source
),

years as (
    select distinct return_year
    from counts
    where row_count > 0
),

present_areas as (
    select distinct areas.la_id
    from counts
    inner join areas on counts.la_code = areas.la_code
    where counts.source in ('cin', 'cla') and counts.row_count > 0
),

registered as (
    select
        la_code,
        min(first_return_year) as first_return_year,
        max(last_return_year) as last_return_year
    from {{ ref('local_authority_codes') }}
    group by la_code
),

-- Every code of an area that returned anything, in every year in which the register has it.
expected as (
    select
        source_years.source,
        areas.la_code,
        years.return_year
    from areas
    inner join present_areas on areas.la_id = present_areas.la_id
    inner join registered on areas.la_code = registered.la_code
    inner join years
        on years.return_year >= registered.first_return_year and years.return_year <= registered.last_return_year
    inner join source_years
        on years.return_year >= source_years.first_year and years.return_year <= source_years.last_year
),

listed as (
    select
        coalesce(expected.source, counts.source) as source,
        coalesce(expected.la_code, counts.la_code) as la_code,
        coalesce(expected.return_year, counts.return_year) as return_year,
        expected.la_code is not null as is_expected,
        coalesce(counts.row_count, 0) > 0 as is_present,
        coalesce(counts.row_count, 0) as row_count,
        counts.child_count,
        counts.pupil_linked_count,
        counts.base_count,
        counts.joined_count,
        counts.joined_that_year_count,
        100 * cast(counts.joined_count as {{ type_double() }}) / nullif(counts.base_count, 0) as joined_pct
    from expected
    full outer join counts
        on
            expected.source = counts.source
            and expected.la_code = counts.la_code
            and expected.return_year = counts.return_year
    -- School rows of LAs for a source that was not delivered at all say nothing.
    where coalesce(expected.source, counts.source) in (select source_years.source from source_years)
),

placed as (
    select
        listed.*,
        areas.la_id
    from listed
    inner join areas on listed.la_code = areas.la_code
),

other_years as (
    select
        placed.source,
        placed.la_code,
        placed.return_year,
        min(case when other_years.is_present then other_years.return_year end) as first_present_year,
        max(case when other_years.is_present then other_years.return_year end) as last_present_year,
        percentile_cont(0.5) within group (order by other_years.child_count) as median_child_count,
        percentile_cont(0.5) within group (
            order by case when other_years.base_count >= limits.quality_minimum_count then other_years.joined_pct end
        ) as median_joined_pct
    from placed
    cross join {{ ref('int_quality__settings') }} as limits
    left join placed as other_years
        on
            placed.source = other_years.source
            and placed.la_id = other_years.la_id
            and placed.return_year <> other_years.return_year
    group by placed.source, placed.la_code, placed.return_year
),

participants as (
    select
        la_id,
        bool_or(is_treatment_la or is_matching_candidate) as is_in_evaluation
    from {{ ref('int_programmes__local_authorities') }}
    group by la_id
),

known_gaps as (
    select
        source,
        la_code,
        return_year,
        min(reason) as reason
    from {{ ref('known_missing_returns') }}
    group by source, la_code, return_year
)

-- An LA has dropped out of a source for a year when the register has it, its other years stand on both sides, and it
-- is large enough to be judged; its join has collapsed when far fewer children are found than in its other years
-- (FV.SAMPLE.5: what is lost there would count as not having happened).
select
    placed.source,
    placed.la_id,
    placed.la_code,
    placed.return_year,
    coalesce(participants.is_in_evaluation, false) as is_in_evaluation,
    placed.is_expected,
    placed.is_present,
    placed.row_count,
    placed.child_count,
    placed.pupil_linked_count,
    placed.base_count,
    placed.joined_count,
    placed.joined_that_year_count,
    placed.joined_pct,
    other_years.median_joined_pct as other_years_joined_pct,
    coalesce(own_gaps.reason, common_gaps.reason) as known_missing_reason,
    placed.is_expected
    and not placed.is_present
    and coalesce(other_years.first_present_year < placed.return_year, false)
    and coalesce(other_years.last_present_year > placed.return_year, false)
    -- Where nobody of school age is known that year, the children are missing, not the school data.
    and case
        when placed.source in ('spring_census', 'absence')
            then coalesce(placed.base_count, 0) >= limits.quality_minimum_count
        else coalesce(other_years.median_child_count >= limits.quality_minimum_count, placed.source = 'la_statistics')
    end as is_dropped_out,
    coalesce(
        placed.is_present
        and placed.base_count >= limits.quality_minimum_count
        and placed.joined_pct < limits.join_coverage_floor_ratio * other_years.median_joined_pct,
        false
    ) as is_join_collapsed
from placed
inner join other_years
    on
        placed.source = other_years.source
        and placed.la_code = other_years.la_code
        and placed.return_year = other_years.return_year
cross join {{ ref('int_quality__settings') }} as limits
left join participants on placed.la_id = participants.la_id
left join known_gaps as own_gaps
    on
        placed.source = own_gaps.source
        and placed.la_code = own_gaps.la_code
        and placed.return_year = own_gaps.return_year
left join known_gaps as common_gaps
    on
        common_gaps.la_code = 'all'
        and placed.source = common_gaps.source
        and placed.return_year = common_gaps.return_year
