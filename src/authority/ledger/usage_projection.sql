-- Named statements, and parts of one, of ledger/usage_projection.py.

-- name: lock_projector
-- One process at a time, until its transaction ends: the sums of the whole installation are of everybody's events. It is
-- a statement of its own, so that the next one sees what the one before it has written.
SELECT pg_try_advisory_xact_lock(hashtextextended('paymaster.usage', 0)) AS locked;

-- name: tenants_behind
-- Tenants with operations that are not in the log yet.
SELECT tenant.tenant
FROM tenant
CROSS JOIN LATERAL (
    SELECT sequence FROM operation WHERE operation.tenant = tenant.tenant ORDER BY sequence DESC LIMIT 1
) AS head
LEFT JOIN usage_cursor ON usage_cursor.tenant = tenant.tenant
WHERE head.sequence > coalesce(usage_cursor.sequence, 0)
ORDER BY tenant.tenant LIMIT %(limit)s;

-- name: events
-- The events of the next operations of some tenants, up to `limit` of each, and where that leaves their cursors. Of an
-- operation's result, line 2 has what was added to windows and lots, 3 its moves, 5 a denial, and from 6 on the
-- reservation: 8 its state, 9 the option, 10 whether it is late, 11 when it was made, 17 its labels
-- (domain/operations.py, domain/reservations.py).
taken AS MATERIALIZED (
    SELECT asked.tenant, coalesce(usage_cursor.sequence, 0) AS after, operation.*
    FROM unnest(%(tenants)s::text[]) AS asked (tenant)
    LEFT JOIN usage_cursor USING (tenant)
    CROSS JOIN LATERAL (
        SELECT sequence, kind, outcome, account, reservation_id, request, create_time,
            string_to_array(result, E'\n') AS line
        FROM operation
        WHERE operation.tenant = asked.tenant AND operation.sequence > coalesce(usage_cursor.sequence, 0)
        ORDER BY operation.sequence LIMIT %(limit)s
    ) AS operation
), moved AS (
    -- What was added to lots, committed less refunded.
    SELECT tenant, sequence, split_part(delta, ':', 1)::bigint AS grant_key,
        split_part(delta, ':', 2)::bigint AS start_ms,
        split_part(delta, ',', 3)::bigint - split_part(delta, ',', 4)::bigint AS used
    FROM taken CROSS JOIN LATERAL unnest(string_to_array(line[2], ' ')) AS delta
    WHERE kind IN ('COMMIT', 'REFUND', 'RELEASE', 'EXPIRE', 'ADJUST')
), revenue AS MATERIALIZED (
    SELECT tenant, earned.sequence, earned.revenue_micros
    FROM (
        SELECT tenant, array_agg(sequence) AS sequences, array_agg(grant_key) AS grant_keys,
            array_agg(start_ms) AS starts_ms, array_agg(used) AS amounts
        FROM moved WHERE used <> 0 GROUP BY tenant
    ) AS told CROSS JOIN LATERAL recognise_revenue(sequences, grant_keys, starts_ms, amounts) AS earned
), told AS MATERIALIZED (
    SELECT tenant, sequence, kind AS verb, account, reservation_id, create_time, line,
        CASE WHEN kind LIKE 'CACHE%%' OR (kind = 'RESERVE' AND outcome = 'DENIED') THEN request::json END AS request,
        CASE
            -- An ADJUST has them where it makes the cost what a provider has billed.
            WHEN kind IN ('RESERVE', 'ADJUST') THEN coalesce((request::json -> 'labels')::jsonb, '{}')
            WHEN coalesce(line[17], '') <> '' THEN line[17]::jsonb
            ELSE '{}'
        END AS labels
    FROM taken
    WHERE kind IN ('COMMIT', 'RELEASE', 'EXPIRE', 'REFUND', 'ADJUST', 'CACHE_HIT', 'CACHE_REVERSAL')
        OR (kind IN ('RESERVE', 'EXTEND') AND outcome = 'DENIED')
), known AS (
    SELECT told.*,
        coalesce(request ->> 'generation_id', labels ->> 'generation') AS wanted_id,
        CASE WHEN labels ->> 'attempt' ~ '^[0-9]{1,9}$' THEN (labels ->> 'attempt')::bigint END AS wanted_attempt,
        CASE
            WHEN verb IN ('RESERVE', 'EXTEND') THEN usage_denial_reason(line[5]::jsonb -> 'denied') ELSE ''
        END AS reason,
        coalesce(line[8], '') AS state,
        coalesce(line[9], '') NOT IN ('', '0') AS is_later_option
    FROM told
), events AS (
    INSERT INTO usage_event
    SELECT known.tenant, known.create_time, known.sequence, known.account,
        coalesce(labels ->> 'user', '') AS user_name,
        CASE
            WHEN verb IN ('RESERVE', 'EXTEND') THEN 'DENIED'
            WHEN verb = 'COMMIT' AND state <> 'COMMITTED' THEN 'PART'
            WHEN verb = 'COMMIT' AND coalesce(made.error_reason, '') <> '' THEN 'FAILED'
            WHEN verb = 'COMMIT' THEN 'SUCCEEDED'
            -- What nobody wanted any more has not failed.
            WHEN verb = 'RELEASE' AND made.error_reason NOT IN ('', 'cancelled', 'deadline_exceeded') THEN 'FAILED'
            WHEN verb = 'RELEASE' OR (verb = 'REFUND' AND line[3] = '') THEN 'RELEASED'
            WHEN verb = 'REFUND' THEN 'REFUNDED'
            WHEN verb = 'EXPIRE' THEN 'EXPIRED'
            WHEN verb = 'ADJUST' THEN 'ADJUSTED'
            WHEN verb = 'CACHE_HIT' THEN 'HIT'
            ELSE 'REVERSED'
        END AS outcome,
        known.reservation_id, made.generation_id, made.attempt,
        coalesce(made.kind, labels ->> 'kind', ''), coalesce(made.provider, labels ->> 'provider', ''),
        coalesce(made.model, labels ->> 'model', ''), coalesce(made.size, labels ->> 'size', ''),
        coalesce(made.quality, labels ->> 'quality', ''),
        coalesce(units.images, CASE WHEN verb = 'COMMIT' AND made.kind = 'image' THEN made.made END, 0),
        coalesce(units.videos, CASE WHEN verb = 'COMMIT' AND made.kind = 'video' THEN made.made END, 0),
        coalesce(units.messages, CASE WHEN verb = 'COMMIT' AND made.kind = 'chat' THEN made.made END, 0),
        CASE WHEN verb = 'COMMIT' THEN coalesce(made.input_tokens, 0) ELSE 0 END,
        CASE WHEN verb = 'COMMIT' THEN coalesce(made.output_tokens, 0) ELSE 0 END,
        coalesce(units.actual, 0), coalesce(units.charged, 0),
        coalesce(units.actual, 0) - coalesce(units.charged, 0), coalesce(units.refunded, 0),
        coalesce(units.credits, 0), coalesce(revenue.revenue_micros, 0),
        coalesce((request ->> 'saved')::bigint, 0),
        CASE
            WHEN (verb = 'COMMIT' AND state = 'COMMITTED')
                OR (verb = 'RELEASE' AND made.error_reason NOT IN ('', 'cancelled', 'deadline_exceeded'))
                THEN greatest(split_part(line[1], ' ', 4)::bigint - line[11]::bigint, 0)
            WHEN verb = 'CACHE_HIT' THEN made.duration_ms
        END AS duration_ms,
        coalesce(request ->> 'stage', ''), (request ->> 'score_ppm')::bigint, nullif(request ->> 'entry_id', ''),
        -- What is held for an attempt may be paid in more than one way: another tier is another quality.
        verb NOT LIKE 'CACHE%%' AND coalesce(made.downgraded, is_later_option),
        CASE WHEN verb NOT LIKE 'CACHE%%' AND made.downgraded THEN made.downgrade_reason ELSE '' END,
        coalesce(made.fallback, false),
        coalesce(verb = 'COMMIT' AND made.presumed_spent, false),
        verb = 'COMMIT' AND line[10] = '1',
        CASE WHEN verb IN ('COMMIT', 'RELEASE') THEN coalesce(made.error_reason, '') ELSE '' END,
        known.reason
    FROM known
    LEFT JOIN revenue ON revenue.tenant = known.tenant AND revenue.sequence = known.sequence
    LEFT JOIN LATERAL (
        SELECT generation.generation_id, generation.kind, generation.size, attempt.attempt,
            coalesce(nullif(attempt.provider, ''), chosen.option ->> 'provider', generation.provider) AS provider,
            coalesce(nullif(attempt.model, ''), chosen.option ->> 'model', generation.model) AS model,
            coalesce(chosen.option ->> 'quality', generation.quality) AS quality,
            attempt.error_reason, attempt.presumed_spent, attempt.actual_images AS made,
            -- As a provider has said it.
            least(greatest(coalesce((attempt.usage ->> 'input_tokens')::numeric, 0), 0), 9007199254740991)::bigint
                AS input_tokens,
            least(greatest(coalesce((attempt.usage ->> 'output_tokens')::numeric, 0), 0), 9007199254740991)::bigint
                AS output_tokens,
            -- The generation has it only at its end, which comes after the Commit.
            coalesce(
                attempt.downgrade_reason <> '' OR chosen.option ->> 'quality' <> attempt.options -> 0 ->> 'quality',
                false
            ) AS downgraded,
            coalesce(attempt.downgrade_reason, '') AS downgrade_reason,
            EXISTS (
                SELECT FROM generation_attempt AS earlier
                WHERE earlier.generation_id = generation.generation_id AND earlier.attempt < attempt.attempt
                    AND earlier.elsewhere
            ) AS fallback,
            greatest(extract(epoch FROM generation.end_time - generation.create_time) * 1000, 0)::bigint AS duration_ms
        FROM generation
        LEFT JOIN generation_attempt AS attempt
            ON attempt.generation_id = generation.generation_id AND attempt.attempt = known.wanted_attempt
        CROSS JOIN LATERAL (
            SELECT attempt.options -> coalesce(attempt.option_index, 0)::int AS option
        ) AS chosen
        -- A label says what its maker likes; what is another tenant's is not told by it, nor what another hold was for.
        WHERE generation.generation_id = known.wanted_id AND generation.tenant = known.tenant
            AND coalesce(attempt.reservation_id = known.reservation_id, true)
        LIMIT 1
    ) AS made ON true
    LEFT JOIN LATERAL (
        SELECT
            sum(split_part(move, ',', 2)::bigint) FILTER (WHERE move LIKE 'USD,%%')::bigint AS actual,
            sum(split_part(move, ',', 3)::bigint) FILTER (WHERE move LIKE 'USD,%%')::bigint AS charged,
            sum(split_part(move, ',', 4)::bigint) FILTER (WHERE move LIKE 'USD,%%')::bigint AS refunded,
            (sum(split_part(move, ',', 3)::bigint - split_part(move, ',', 4)::bigint)
                FILTER (WHERE move LIKE 'CREDITS,%%'))::bigint AS credits,
            sum(split_part(move, ',', 2)::bigint) FILTER (WHERE move LIKE 'IMAGES,%%')::bigint AS images,
            sum(split_part(move, ',', 2)::bigint) FILTER (WHERE move LIKE 'VIDEOS,%%')::bigint AS videos,
            sum(split_part(move, ',', 2)::bigint) FILTER (WHERE move LIKE 'MESSAGES,%%')::bigint AS messages
        FROM unnest(string_to_array(line[3], ' ')) AS move
    ) AS units ON true
    RETURNING *
)

-- name: move_cursors
cursors AS (
    INSERT INTO usage_cursor (tenant, sequence, event_time)
    SELECT tenant, max(sequence), max(create_time) FROM taken GROUP BY tenant
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, event_time = excluded.event_time
)
SELECT tenant, max(after) AS after, max(sequence) AS through, count(*) AS operation_count,
    -- What is denied since a budget is as good as used up is a crossing too.
    bool_or(strpos(line[5], '"crossed"') > 0 OR strpos(line[5], '"limiting":[[') > 0) AS has_crossed
FROM taken GROUP BY tenant;
