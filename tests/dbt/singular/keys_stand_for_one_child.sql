-- FV.SAMPLE.1: no two children share a key. It stands for one pupil, or for one code of an LA with one month of birth.
select child_key
from {{ ref('int_children__identities') }}
group by child_key
having
    min(coalesce('pupil|' || pupil_id, {{ joined_text(['la_id', 'la_child_id', 'birth_month_number']) }}))
    <> max(coalesce('pupil|' || pupil_id, {{ joined_text(['la_id', 'la_child_id', 'birth_month_number']) }}))
