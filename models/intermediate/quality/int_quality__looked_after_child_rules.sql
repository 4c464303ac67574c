with particulars as (
    select
        children.return_year,
        children.la_code,
        children.la_child_id,
        min(genders.gender) as gender,
        min(
            case when children.birth_month between 1 and 12 then children.birth_year * 12 + children.birth_month - 1 end
        ) as birth_month_number,
        min(children.ethnicity_code) as ethnicity_code
    from {{ ref('stg_cla__children') }} as children
    left join {{ ref('gender_codes') }} as genders
        on
            genders.source_kind = 'SSDA903'
            and children.gender_code = genders.gender_code
            and children.return_year >= coalesce(genders.first_return_year, children.return_year)
            and children.return_year <= coalesce(genders.last_return_year, children.return_year)
    group by children.return_year, children.la_code, children.la_child_id
),

-- What this return says against what the child's last return said (trap 15).
compared as (
    select
        *,
        lag(gender) over child as previous_gender,
        lag(birth_month_number) over child as previous_birth_month_number,
        lag(ethnicity_code) over child as previous_ethnicity_code
    from particulars
    window child as (partition by la_code, la_child_id order by return_year)
),

ranked as (
    select
        *,
        row_number() over (
            partition by return_year, la_code, la_child_id
            order by episode_start_date, coalesce(episode_end_date, cast('9999-12-31' as date)), source_row
        ) as first_rank,
        row_number() over (
            partition by return_year, la_code, la_child_id
            order by case when episode_end_date is null then 0 else 1 end, episode_start_date desc, source_row desc
        ) as open_rank
    from {{ ref('stg_cla__episodes') }}
),

breaks as (
    select
        return_year,
        la_code,
        la_child_id,
        sum(
            {{ dbt.datediff(
                'greatest(episode_start_date, ' ~ return_year_end('return_year - 1') ~ ')',
                'least(coalesce(episode_end_date, ' ~ return_year_end('return_year') ~ '), '
                ~ return_year_end('return_year') ~ ')',
                'day'
            ) }}
        ) filter (where legal_status_code = 'V3') as break_days,
        bool_or(legal_status_code = 'V3') as has_breaks,
        bool_or(legal_status_code = 'V4') as has_agreement
    from ranked
    where legal_status_code in ('V3', 'V4')
    group by return_year, la_code, la_child_id
),

-- An episode open on 31 March opens the next return unchanged.
carried_over as (
    select
        first_episodes.return_year,
        first_episodes.la_code,
        first_episodes.la_child_id,
        first_episodes.episode_start_date = open_episodes.episode_start_date as is_same_start,
        first_episodes.reason_for_new_episode_code <> open_episodes.reason_for_new_episode_code as is_other_reason,
        first_episodes.legal_status_code <> open_episodes.legal_status_code as is_other_status,
        first_episodes.category_of_need_code <> open_episodes.category_of_need_code as is_other_category,
        first_episodes.placement_code <> open_episodes.placement_code as is_other_placement
    from ranked as first_episodes
    inner join ranked as open_episodes
        on
            first_episodes.la_code = open_episodes.la_code
            and first_episodes.la_child_id = open_episodes.la_child_id
            and first_episodes.return_year = open_episodes.return_year + 1
    where first_episodes.first_rank = 1 and open_episodes.open_rank = 1 and open_episodes.episode_end_date is null
)

select
    compared.return_year,
    compared.la_code,
    compared.la_child_id,
    compared.gender <> compared.previous_gender as rule_202,
    compared.birth_month_number <> compared.previous_birth_month_number as rule_203,
    compared.ethnicity_code <> compared.previous_ethnicity_code as rule_204,
    case when breaks.has_breaks then breaks.break_days > 75 end as rule_367,
    case when breaks.la_code is not null then breaks.has_breaks and breaks.has_agreement end as rule_426,
    not carried_over.is_same_start as rule_502,
    case when carried_over.is_same_start then carried_over.is_other_reason end as rule_503a,
    case when carried_over.is_same_start then carried_over.is_other_status end as rule_503b,
    case when carried_over.is_same_start then carried_over.is_other_category end as rule_503c,
    case when carried_over.is_same_start then carried_over.is_other_placement end as rule_503d
from compared
left join breaks
    on
        compared.return_year = breaks.return_year
        and compared.la_code = breaks.la_code
        and compared.la_child_id = breaks.la_child_id
left join carried_over
    on
        compared.return_year = carried_over.return_year
        and compared.la_code = carried_over.la_code
        and compared.la_child_id = carried_over.la_child_id
