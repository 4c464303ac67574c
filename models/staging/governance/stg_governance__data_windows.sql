with windows as (
    {{ governed_source('governance', 'data_windows', key='none') }}
)

select
    case landing_table
        when 'cla_episodes' then 'cla'
        when 'cin_records' then 'cin'
        when 'cin_assessments' then 'assessment'
    end as source_kind,
    first_date,
    last_date
from windows
where landing_table in ('cla_episodes', 'cin_records', 'cin_assessments')
