-- Named statements; ledger/watching.py reads them by name. What detectors look through, each bounded and by an index.

-- name: rule_params
SELECT account, params FROM alert_rule WHERE enabled AND params <> '{}' ORDER BY rule_id

-- name: chains
-- Accounts and those above them, from the inside out.
WITH RECURSIVE chain AS (
    SELECT account AS of, account, parent, 0 AS depth FROM account WHERE account = ANY(%(accounts)s::text[])
    UNION ALL
    SELECT chain.of, above.account, above.parent, chain.depth + 1
    FROM chain JOIN account AS above ON above.account = chain.parent
    WHERE chain.depth < 16
)
SELECT of, array_agg(account ORDER BY depth) AS chain FROM chain GROUP BY of

-- name: last_runs
SELECT detector, subject, run_ms, duration_ms, found FROM watch_run ORDER BY detector, subject

-- name: note_run
INSERT INTO watch_run (detector, subject, run_ms, duration_ms, found)
VALUES (%(detector)s, %(subject)s, %(run_ms)s, %(duration_ms)s, %(found)s)
ON CONFLICT (detector, subject) DO UPDATE
SET run_ms = excluded.run_ms, duration_ms = excluded.duration_ms, found = excluded.found

-- name: expiring_grants
SELECT account_grant.grant_id, account_grant.account, account_grant.unit, account_grant.amount, account_grant.expire_ms,
       account_grant.amount - coalesce(total.reserved + total.committed - total.refunded, 0) AS left_amount
FROM account_grant
JOIN account USING (account)
LEFT JOIN window_total AS total ON total.budget_key = account_grant.grant_key AND total.window_start_ms = 0
WHERE account_grant.void_ms = 0 AND account_grant.recurrence = 'TOTAL' AND account.state <> 'CLOSED'
  AND account_grant.expire_ms > %(now_ms)s AND account_grant.expire_ms <= %(until_ms)s
  AND account_grant.amount > coalesce(total.reserved + total.committed - total.refunded, 0)
  AND NOT EXISTS (
      SELECT FROM alert_case WHERE kind = 'GRANT_EXPIRING' AND dedup_key = account_grant.grant_id
  )
  AND (account_grant.expire_ms, account_grant.grant_id) > (%(after_ms)s, %(after_id)s)
ORDER BY account_grant.expire_ms, account_grant.grant_id LIMIT %(limit)s

-- name: spending_windows
-- The last window of each budget that binds, if something was charged to it and it is not full. Whether it is the present one
-- says the time zone of its account.
SELECT DISTINCT ON (budget.budget_key) budget.budget_key, budget.account, total.window_start_ms, budget.unit,
       total.reserved, total.committed, total.refunded
FROM budget
JOIN account USING (account)
JOIN window_total AS total USING (budget_key)
WHERE budget.budget_key > %(after)s AND budget.end_time IS NULL AND account.state = 'ACTIVE'
  AND budget."window" IN ('WEEK', 'MONTH') AND budget.unit <> 'RESERVATIONS'
  AND total.window_start_ms > %(since_ms)s
  AND total.committed > total.refunded AND total.committed - total.refunded < budget.limit_amount
  AND NOT EXISTS (
      SELECT FROM alert_case
      WHERE kind = 'PROJECTION' AND dedup_key = budget.budget_key || ':' || total.window_start_ms
  )
ORDER BY budget.budget_key, total.window_start_ms DESC LIMIT %(limit)s

-- name: idle_holds
-- Accounts whose open reservations were all made before a time, with when they last did anything.
SELECT held.account, held.open_count, held.oldest_ms, greatest(
    held.newest_ms,
    (SELECT max(create_ms) FROM reservation WHERE reservation.account = held.account),
    (SELECT (extract(epoch FROM max(bucket)) * 1000)::bigint + 900000 FROM usage_rollup
     WHERE usage_rollup.account = held.account AND level = 2 AND grain = 15)
) AS active_ms, held.micros
FROM (
    SELECT account, count(*) AS open_count, min(create_ms) AS oldest_ms, max(create_ms) AS newest_ms, sum((
        SELECT coalesce(sum(split_part(leg, ':', 3)::bigint), 0) FROM string_to_table(legs, ';') AS leg
        WHERE split_part(leg, ':', 1) = 'USD'
    ))::bigint AS micros
    FROM reservation WHERE state = 'HELD' AND expire_ms > %(now_ms)s
    GROUP BY account HAVING max(create_ms) < %(before_ms)s
) AS held
ORDER BY held.account LIMIT %(limit)s

-- name: provider_cases
-- What providers were asked of late, by quarters of hours, and what of it they failed in; what the request has the fault of
-- is no failure of theirs.
SELECT usage_combination.provider, sum(event_count)::bigint AS total, coalesce(sum(event_count) FILTER (
    WHERE outcome = 'FAILED' AND NOT error_class = ANY(%(excused)s::text[])
), 0)::bigint AS failed
FROM usage_rollup JOIN usage_combination USING (combination)
WHERE level = 2 AND grain = 15 AND bucket >= %(start)s AND bucket < %(end)s
  AND usage_combination.provider <> '' AND outcome IN ('SUCCEEDED', 'FAILED')
GROUP BY usage_combination.provider

-- name: usual_cases
-- The same by hours.
SELECT usage_combination.provider, sum(event_count)::bigint AS total, coalesce(sum(event_count) FILTER (
    WHERE outcome = 'FAILED' AND NOT error_class = ANY(%(excused)s::text[])
), 0)::bigint AS failed
FROM usage_rollup JOIN usage_combination USING (combination)
WHERE level = 0 AND grain = 60 AND bucket >= %(start)s AND bucket < %(end)s
  AND usage_combination.provider <> '' AND outcome IN ('SUCCEEDED', 'FAILED')
GROUP BY usage_combination.provider

-- name: spent_today
-- Accounts by themselves, and tenants as a whole, that were charged at least so much since the midnight of their own zone.
SELECT account.account, account.time_zone, usage_sum(sum(rollup.charged_micros)) AS charged
FROM (
    SELECT account, bucket, charged_micros FROM usage_rollup
    WHERE level = 2 AND grain = 15 AND bucket BETWEEN %(now)s::timestamptz - interval '26 hours' AND %(now)s AND account <> tenant
    UNION ALL
    SELECT tenant, bucket, charged_micros FROM usage_rollup
    WHERE level = 1 AND grain = 60 AND bucket BETWEEN %(now)s::timestamptz - interval '26 hours' AND %(now)s
) AS rollup
JOIN account USING (account)
WHERE rollup.charged_micros > 0 AND rollup.bucket >= date_trunc('day', %(now)s::timestamptz, account.time_zone)
GROUP BY account.account HAVING sum(rollup.charged_micros) >= %(least)s
ORDER BY account.account LIMIT %(limit)s
