with judged as (
    select
        sent.*,
        known.code is null as is_unknown,
        case
            when length(sent.code) <= 6 then sent.code
            else 'longer than 6 characters'
        end as shown_code
    from {{ ref('int_quality__codes_sent') }} as sent
    left join {{ ref('int_quality__known_codes') }} as known
        on
            sent.source_kind = known.source_kind
            and sent.field = known.field
            and sent.code = known.code
            and sent.return_year >= known.first_return_year
            and sent.return_year <= known.last_return_year
),

totals as (
    select
        source_kind,
        field,
        la_id,
        la_code,
        return_year,
        cast(sum(row_count) as bigint) as row_count,
        cast(sum(case when is_unknown then row_count else 0 end) as bigint) as unknown_count
    from judged
    group by source_kind, field, la_id, la_code, return_year
),

-- A text that is too long for a code may be anything, so only that it stood there is shown (DP.1).
shown as (
    select distinct
        source_kind,
        field,
        la_code,
        return_year,
        shown_code
    from judged
    where is_unknown
),

listed as (
    select
        source_kind,
        field,
        la_code,
        return_year,
        {{ ordered_list('shown_code', ', ', 'shown_code') }} as unknown_codes
    from shown
    group by source_kind, field, la_code, return_year
)

select
    totals.source_kind,
    totals.field,
    totals.la_id,
    totals.la_code,
    totals.return_year,
    totals.row_count,
    totals.unknown_count,
    100 * cast(totals.unknown_count as {{ type_double() }}) / nullif(totals.row_count, 0) as unknown_pct,
    listed.unknown_codes
from totals
left join listed
    on
        totals.source_kind = listed.source_kind
        and totals.field = listed.field
        and totals.la_code = listed.la_code
        and totals.return_year = listed.return_year
