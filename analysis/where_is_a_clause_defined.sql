-- Where is each clause of the protocol defined, and is it implemented?
select
    clause,
    wording,
    status,
    home,
    model_names,
    data_test_count
from {{ ref('dim_protocol_definitions') }}
order by topic, clause
