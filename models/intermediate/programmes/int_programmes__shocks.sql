-- Events that may move an outcome for reasons other than the programme (FV.MATCH.6): the register's own rows, and what
-- other seeds know already: reorganisations, Ofsted judgements, other whole-system programmes. Null area: all of them.
-- Of its own: a break in one LA that a sensitivity analysis leaves out (FV.SENS.6). A routine judgement is none, and
-- the roll-out of a programme that is evaluated here is the treatment.
with listed as (
    select
        shock_date,
        nullif(area, 'national') as la_code,
        kind,
        title,
        source,
        area <> 'national' as is_of_its_own
    from {{ ref('shock_register') }}
    union all
    select
        effective_date as shock_date,
        to_la_code as la_code,
        'reorganisation' as kind,
        'The LA is created by reorganisation' as title,
        source,
        true as is_of_its_own
    from {{ ref('local_authority_successors') }}
    where is_verified and relationship <> 'recode'
    union all
    select
        published_date as shock_date,
        la_code,
        'Ofsted' as kind,
        'Ofsted judgement published: ' || overall_effectiveness as title,
        source,
        overall_effectiveness = 'Inadequate' as is_of_its_own
    from {{ ref('ofsted_judgements') }}
    union all
    select
        start_date as shock_date,
        la_code,
        'whole-system programme' as kind,
        innovation_programme || ' starts' as title,
        source,
        programme_id is null as is_of_its_own
    from {{ ref('innovation_programmes') }}
    where is_default and start_date is not null
)

select
    listed.shock_date,
    areas.la_id,
    listed.kind,
    listed.title,
    max(listed.source) as source,
    coalesce(bool_or(listed.is_of_its_own), false) as is_of_its_own
from listed
left join {{ ref('int_programmes__continuing_areas') }} as areas on listed.la_code = areas.la_code
group by listed.shock_date, areas.la_id, listed.kind, listed.title
