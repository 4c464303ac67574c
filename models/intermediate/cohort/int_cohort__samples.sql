{{ config(materialized='table') }}

-- Whose outcomes are asked for: in the trial by the first referral on the programme's basis, by the first one of an
-- alternative sample, on another basis or by what the assessment shows (FV.SAMPLE.6, FV.PROG.5, DECISIONS D70), and by
-- the first start of care; and the entrants to the LA trends before it (FV.MATCH.3). Anchors, which are many, carry the
-- number instead of names. It never leaves this layer.
with samples as (
    {%- for cohort in ['trend', 'trial'] %}
    select
        programme_id,
        '{{ cohort }}' as cohort,
        'referral' as anchor,
        referral_basis,
        false as is_by_factors
    from {{ ref('programmes') }}
    union all
    select
        programme_id,
        '{{ cohort }}' as cohort,
        'care_start' as anchor,
        cast(null as {{ dbt.type_string() }}) as referral_basis,
        false as is_by_factors
    from {{ ref('programmes') }}
    union all
    {%- endfor %}
    select
        listed.programme_id,
        'trial' as cohort,
        listed.sample_id as anchor,
        listed.referral_basis,
        count(factors.assessment_factor_code) > 0 as is_by_factors
    from {{ ref('referral_samples') }} as listed
    left join {{ ref('sample_factors') }} as factors
        on listed.programme_id = factors.programme_id and listed.sample_id = factors.sample_id
    group by listed.programme_id, listed.sample_id, listed.referral_basis
)

-- The source whose returns must hold a child's earlier entries for the first one to be known (FV.SAMPLE.5).
select
    row_number() over (order by cohort, programme_id, anchor) as sample_number,
    programme_id,
    cohort,
    anchor,
    referral_basis,
    is_by_factors,
    case
        when anchor = 'care_start' then 'cla'
        when is_by_factors then 'assessment'
        else 'cin'
    end as entry_source_kind
from samples
