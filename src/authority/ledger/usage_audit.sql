-- Named statements, and parts of one, of ledger/usage_audit.py. Each is of what is in the log: up to the cursor.

-- name: books
-- What the ledger's entries and operations say of a tenant, beside what the sums of its days do.
WITH place AS MATERIALIZED (
    SELECT coalesce((SELECT sequence FROM usage_cursor WHERE tenant = %(tenant)s), 0) AS cursor
), entries AS (
    SELECT coalesce(sum(amount) FILTER (WHERE book = 'CHARGED' AND unit = 'USD'), 0) AS charged_less_refunded,
        coalesce(-sum(amount) FILTER (WHERE book = 'PROVIDER' AND unit = 'USD'), 0) AS actual,
        coalesce(sum(amount) FILTER (WHERE book = 'CHARGED' AND unit = 'CREDITS'), 0) AS credits
    FROM ledger_entry, place
    WHERE tenant = %(tenant)s AND sequence <= place.cursor AND budget_key IS NULL
), operations AS (
    SELECT count(*) AS events
    FROM operation, place
    WHERE tenant = %(tenant)s AND sequence <= place.cursor AND (
        kind IN ('COMMIT', 'RELEASE', 'EXPIRE', 'REFUND', 'ADJUST', 'CACHE_HIT', 'CACHE_REVERSAL')
        OR (kind IN ('RESERVE', 'EXTEND') AND outcome = 'DENIED')
    )
), sums AS (
    SELECT coalesce(sum(charged_micros - refunded_micros), 0) AS charged_less_refunded,
        coalesce(sum(actual_micros), 0) AS actual, coalesce(sum(credits_micros), 0) AS credits,
        coalesce(sum(
            succeeded_count + failed_count + part_count + denied_count + released_count + expired_count
            + refunded_count + adjusted_count + hit_count + reversed_count
        ), 0) AS events
    FROM usage_total WHERE tenant = %(tenant)s AND level = 1 AND grain = 1440
)
SELECT name, expected::text, found::text FROM entries, operations, sums CROSS JOIN LATERAL (
    VALUES ('charged less refunded', entries.charged_less_refunded, sums.charged_less_refunded),
    ('actual', entries.actual, sums.actual), ('credits', entries.credits, sums.credits),
    ('events', operations.events, sums.events)
) AS pair (name, expected, found)
WHERE expected <> found;

-- name: kept_events
-- Those of days that are kept whole.
bound AS MATERIALIZED (
    SELECT CASE
        WHEN kept_from = '-infinity' THEN kept_from ELSE date_trunc('day', kept_from + interval '26 hours', time_zone)
    END AS kept_from FROM usage_calendar
), events AS (
    SELECT usage_event.* FROM usage_event, bound WHERE tenant = %(tenant)s AND event_time >= bound.kept_from
)

-- name: differing
-- Sums of a tenant that are not what its events say.
pairs AS (
    SELECT 'usage_rollup' AS place, to_jsonb(expected) AS expected, to_jsonb(found) AS found
    FROM (SELECT * FROM rollups WHERE level > 0) AS expected
    FULL JOIN (
        SELECT usage_rollup.* FROM usage_rollup, bound WHERE tenant = %(tenant)s AND bucket >= bound.kept_from
    ) AS found USING (level, grain, bucket, tenant, account, user_name, combination)
    WHERE expected::text IS DISTINCT FROM found::text
    UNION ALL
    SELECT 'usage_total', to_jsonb(expected), to_jsonb(found)
    FROM (SELECT * FROM totals WHERE level > 0) AS expected
    FULL JOIN (
        SELECT usage_total.* FROM usage_total, bound WHERE tenant = %(tenant)s AND bucket >= bound.kept_from
    ) AS found USING (level, grain, bucket, tenant, account, user_name)
    WHERE expected::text IS DISTINCT FROM found::text
    UNION ALL
    SELECT 'usage_work_total', to_jsonb(expected), to_jsonb(found)
    FROM (SELECT * FROM work_totals WHERE level > 0) AS expected
    FULL JOIN (
        SELECT usage_work_total.* FROM usage_work_total, bound WHERE tenant = %(tenant)s AND bucket >= bound.kept_from
    ) AS found USING (level, grain, bucket, tenant, account, user_name, work)
    -- Their columns are not in the same order.
    WHERE to_jsonb(expected) IS DISTINCT FROM to_jsonb(found)
)
SELECT place, coalesce(expected, found) ->> 'level' AS level, coalesce(expected, found) ->> 'grain' AS grain,
    coalesce(expected, found) ->> 'bucket' AS bucket, coalesce(expected, found) ->> 'account' AS account,
    coalesce(expected, found) ->> 'user_name' AS user_name, field.key AS name,
    coalesce(expected ->> field.key, 'none') AS expected, coalesce(found ->> field.key, 'none') AS found
FROM (SELECT * FROM pairs LIMIT %(limit)s) AS shown CROSS JOIN LATERAL jsonb_each(coalesce(expected, found)) AS field
WHERE expected -> field.key IS DISTINCT FROM found -> field.key
ORDER BY place, level, grain, bucket, account, user_name, name;

-- name: whole
-- Sums of the whole installation that are not the sums of its tenants.
WITH pairs AS (
    SELECT grain, bucket, combination,
        coalesce(sum(event_count) FILTER (WHERE level = 0), 0) AS found_events,
        coalesce(sum(event_count) FILTER (WHERE level = 1), 0) AS events,
        coalesce(sum(actual_micros) FILTER (WHERE level = 0), 0) AS found_actual,
        coalesce(sum(actual_micros) FILTER (WHERE level = 1), 0) AS actual,
        coalesce(sum(charged_micros - refunded_micros) FILTER (WHERE level = 0), 0) AS found_charged,
        coalesce(sum(charged_micros - refunded_micros) FILTER (WHERE level = 1), 0) AS charged
    FROM usage_rollup WHERE level < 2 GROUP BY grain, bucket, combination
    UNION ALL
    SELECT grain, bucket, NULL,
        coalesce(sum(succeeded_count) FILTER (WHERE level = 0), 0),
        coalesce(sum(succeeded_count) FILTER (WHERE level = 1), 0),
        coalesce(sum(actual_micros) FILTER (WHERE level = 0), 0),
        coalesce(sum(actual_micros) FILTER (WHERE level = 1), 0),
        coalesce(sum(charged_micros - refunded_micros) FILTER (WHERE level = 0), 0),
        coalesce(sum(charged_micros - refunded_micros) FILTER (WHERE level = 1), 0)
    FROM usage_total WHERE level < 2 GROUP BY grain, bucket
)
SELECT grain::text, bucket::text, name, expected::text, found::text
FROM pairs CROSS JOIN LATERAL (
    VALUES ('events', events, found_events), ('actual', actual, found_actual),
    ('charged less refunded', charged, found_charged)
) AS pair (name, expected, found)
WHERE expected <> found ORDER BY bucket, grain, name LIMIT %(limit)s;
