-- Named statements of ledger/insights.py: what is known of the generations of some accounts, all of one tenant.

-- name: count_past
-- How many there are, and the id from which on the latest `limit` of them begin. Ids are UUIDv7 behind the tenant, so that
-- they come in the order of time, and `floor` bounds what the index has to read.
SELECT count(*) AS count, coalesce(min(generation_id) FILTER (WHERE place <= %(limit)s), '') AS first_id
FROM (
    SELECT generation_id, row_number() OVER (ORDER BY generation_id DESC) AS place FROM generation
    WHERE tenant = %(tenant)s AND account = ANY(%(accounts)s::text[]) AND generation_id >= %(floor)s
      AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz
      AND end_time IS NOT NULL
) AS found;

-- name: list_past
-- A page, the earliest first. What was charged is the reservation's, which is what the ledger's operations have made of it;
-- when a Reserve was decided, and why it was denied, is the operation's.
WITH page AS (
    SELECT * FROM generation
    WHERE tenant = %(tenant)s AND account = ANY(%(accounts)s::text[]) AND generation_id >= %(first_id)s
      AND generation_id > %(after)s
      AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz
      AND end_time IS NOT NULL
    ORDER BY generation_id LIMIT %(limit)s
)
SELECT page.generation_id, page.account, page.kind, page.prompt, page.requested_model, page.size, page.quality,
       page.count, page.settings, page.state, page.cached, page.reuse, page.context, page.parent_id IS NOT NULL AS is_anew,
       page.downgraded, (extract(epoch FROM page.create_time) * 1000)::bigint AS create_ms,
       CASE WHEN hit.reversed_time IS NULL THEN page.saved_micros ELSE 0 END AS saved, tried.attempts
FROM page
LEFT JOIN cache_hit AS hit USING (generation_id)
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(json_build_object(
        'number', attempt.attempt, 'state', attempt.state, 'options', attempt.options,
        'option_index', attempt.option_index, 'actual', attempt.actual_micros, 'made', attempt.actual_images,
        'usage', attempt.usage, 'presumed_spent', attempt.presumed_spent, 'error', attempt.error_reason,
        'charged', attempt.charged_micros, 'legs', held.legs, 'grants', held.grants, 'held_ms', held.create_ms,
        'settle_ms', coalesce(nullif(held.settle_ms, 0), (extract(epoch FROM attempt.settle_time) * 1000)::bigint),
        'reserve_ms', (extract(epoch FROM coalesce(decided.create_time, attempt.create_time)) * 1000)::bigint,
        'denied', CASE WHEN decided.outcome = 'DENIED' THEN decided.result END
    ) ORDER BY attempt.attempt), '[]') AS attempts
    FROM generation_attempt AS attempt
    LEFT JOIN reservation AS held USING (reservation_id)
    LEFT JOIN operation AS decided ON attempt.state = 'DENIED' AND decided.tenant = page.tenant
        AND decided.idempotency_key = 'gen:' || attempt.generation_id || ':' || attempt.attempt || ':reserve'
    WHERE attempt.generation_id = page.generation_id
) AS tried
ORDER BY page.generation_id;
