-- A row for each number. What depends on chance is drawn once for each.
INSERT INTO usage_event (
    tenant, event_time, sequence, account, user_name, outcome, kind, provider, model, size, quality,
    images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros,
    absorbed_micros, refunded_micros, credits_micros, revenue_micros, saved_micros, duration_ms,
    cached, entry_id, downgraded, downgrade_reason, fallback, presumed_spent, late, error_class, reason
)
SELECT 'used' || who %% %(tenants)s, moment, %(first)s + row_number() OVER (ORDER BY moment),
    'used' || who %% %(tenants)s || '/p' || who, CASE WHEN who %% 4 = 0 THEN 'u' || who %% 100 ELSE '' END,
    outcome, kind, 'provider' || model %% 5, 'model' || model,
    CASE kind WHEN 'image' THEN (512 << model %% 3)::text ELSE '' END,
    CASE model %% 2 WHEN 0 THEN 'standard' ELSE 'premium' END,
    CASE WHEN made AND kind = 'image' THEN 1 + number %% 3 ELSE 0 END, (made AND kind = 'video')::int,
    (made AND kind = 'chat')::int, CASE WHEN made AND kind = 'chat' THEN number %% 4000 ELSE 0 END,
    CASE WHEN made AND kind = 'chat' THEN number %% 900 ELSE 0 END,
    CASE WHEN made THEN cost ELSE 0 END, CASE WHEN made THEN cost - cost / 50 ELSE 0 END,
    CASE WHEN made THEN cost / 50 ELSE 0 END, CASE WHEN outcome = 'REFUNDED' THEN cost ELSE 0 END,
    CASE WHEN made THEN cost * 20 ELSE 0 END, CASE WHEN made THEN cost + cost / 4 ELSE 0 END,
    CASE WHEN outcome = 'HIT' THEN cost ELSE 0 END, CASE WHEN made THEN 800 + number %% 9000 END,
    CASE WHEN outcome = 'HIT' THEN (ARRAY['exact', 'normalised', 'signature', 'guarded'])[1 + number %% 4] ELSE '' END,
    CASE WHEN outcome = 'HIT' THEN 'used' || who %% %(tenants)s || '/e' || (number * 7919) %% 5000 END,
    made AND number %% 20 = 0, CASE WHEN made AND number %% 20 = 0 THEN 'soft_cap' ELSE '' END,
    made AND number %% 33 = 0, false, false,
    CASE WHEN outcome = 'FAILED' THEN (ARRAY['rate_limited', 'content_refused', 'timeout_unknown'])[1 + number %% 3]
         ELSE '' END,
    CASE WHEN outcome = 'DENIED' THEN (ARRAY['BUDGET_EXHAUSTED', 'BUDGET_BUSY'])[1 + number %% 2] ELSE '' END
FROM (
    SELECT *, outcome IN ('SUCCEEDED', 'FAILED') AS made,
        (ARRAY['image', 'image', 'chat', 'video'])[1 + model %% 4] AS kind,
        1000 + model * 1700 + number %% 977 AS cost
    FROM (
        SELECT number, who, (who * 7 + floor(4 * random() ^ 2)::int * 5) %% 24 AS model, rare,
            %(day)s::timestamptz + interval '1 ms' * floor(86400000 * spread) AS moment
        FROM (
            SELECT number, least(floor(%(accounts)s * random() ^ 3)::int, %(accounts)s - 1) AS who,
                (random() + random() + random()) / 3 AS spread,
                (ARRAY[
                    'DENIED', 'DENIED', 'RELEASED', 'EXPIRED', 'REFUNDED', 'FAILED', 'FAILED', 'HIT', 'HIT', 'HIT'
                ])[greatest(1, ceil(random() * 50))::int] AS rare
            FROM generate_series(1::bigint, %(count)s) AS number
        ) AS person
    ) AS drawn CROSS JOIN LATERAL (SELECT coalesce(rare, 'SUCCEEDED') AS outcome) AS common
) AS event
