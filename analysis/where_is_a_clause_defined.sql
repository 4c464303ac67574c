-- Where is each clause of the protocol defined, and is it implemented?
select
    clause,
    wording,
    status,
    home,
    model,
    tests
from {{ ref('dim_protocol_definitions') }}
order by topic, clause
