-- Named statements, and parts of some, of ledger/usage_upkeep.py.

-- name: wait_for_projector
SELECT pg_advisory_xact_lock(hashtextextended('paymaster.usage', 0));

-- name: set_time_zone
-- What another version has kept, with other sums, is counted anew too.
UPDATE usage_calendar SET time_zone = %(time_zone)s, layout = 2
WHERE time_zone <> %(time_zone)s OR layout <> 2 RETURNING time_zone;

-- name: delete_rollups
DELETE FROM usage_rollup WHERE grain <> 15;

-- name: delete_totals
DELETE FROM usage_total;

-- name: delete_work_totals
DELETE FROM usage_work_total;

-- name: kept_quarters
-- The quarters that are kept: those of users, and of accounts what their users lack.
quarters AS MATERIALIZED (
    SELECT kept.tenant, kept.account, kept.user_name, kept.bucket AS quarter, combination,
        work, kind, provider, model, size, quality, outcome, cached, downgraded, downgrade_reason, fallback,
        presumed_spent, late, error_class, reason,
        event_count, images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros,
        refunded_micros, credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
    FROM (
        SELECT tenant, account, user_name, bucket, combination,
            event_count, images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros,
            refunded_micros, credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
        FROM usage_rollup WHERE level = 3 AND grain = 15
        UNION ALL
        SELECT tenant, account, '' AS user_name, bucket, combination,
            sum(CASE level WHEN 2 THEN event_count ELSE -event_count END)::bigint, usage_sum(sum(CASE level WHEN 2 THEN images
            ELSE -images END)), usage_sum(sum(CASE level WHEN 2 THEN videos ELSE -videos END)), usage_sum(sum(CASE level
            WHEN 2 THEN messages ELSE -messages END)), usage_sum(sum(CASE level WHEN 2 THEN input_tokens ELSE
            -input_tokens END)), usage_sum(sum(CASE level WHEN 2 THEN output_tokens ELSE -output_tokens END)),
            usage_sum(sum(CASE level WHEN 2 THEN actual_micros ELSE -actual_micros END)), usage_sum(sum(CASE level WHEN 2 THEN
            charged_micros ELSE -charged_micros END)), usage_sum(sum(CASE level WHEN 2 THEN refunded_micros ELSE
            -refunded_micros END)), usage_sum(sum(CASE level WHEN 2 THEN credits_micros ELSE -credits_micros
            END)), usage_sum(sum(CASE level WHEN 2 THEN revenue_micros ELSE -revenue_micros END)), usage_sum(sum(CASE level
            WHEN 2 THEN saved_micros ELSE -saved_micros END)), usage_sum(sum(CASE level WHEN 2 THEN duration_ms ELSE
            -duration_ms END)), sum(CASE level WHEN 2 THEN duration_count ELSE -duration_count END)::bigint
        FROM usage_rollup WHERE level IN (2, 3) AND grain = 15
        GROUP BY tenant, account, bucket, combination
        HAVING sum(CASE level WHEN 2 THEN event_count ELSE -event_count END) <> 0
    ) AS kept JOIN usage_combination USING (combination)
)

-- name: events_of_time
events AS (
    SELECT * FROM usage_event WHERE event_time >= %(start)s AND event_time < %(end)s
)

-- name: make_months
SELECT ensure_usage_month(%(now)s::timestamptz), ensure_usage_month(%(now)s::timestamptz + interval '1 month');

-- name: drop_months
SELECT dropped FROM drop_usage_months(%(before)s) AS dropped;
