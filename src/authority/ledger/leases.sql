-- Named statements of ledger/leases.py.

-- name: make_shares
-- Each tenant counts each budget of the platform under a key of its own.
INSERT INTO platform_share (budget_key, tenant)
SELECT budget_key, tenant FROM budget CROSS JOIN tenant
WHERE budget.account = 'platform' AND tenant = %(tenant)s AND tenant <> 'platform'
      AND NOT EXISTS (
          SELECT FROM platform_share AS share
          WHERE share.budget_key = budget.budget_key AND share.tenant = %(tenant)s
      )
ON CONFLICT DO NOTHING;

-- name: read_shares
-- The budgets of the platform as a tenant counts them; `share_key` is null where it can't yet.
SELECT budget.*, share_key FROM budget
LEFT JOIN platform_share AS share ON share.budget_key = budget.budget_key AND share.tenant = %(tenant)s
WHERE budget.account = 'platform' AND %(tenant)s <> 'platform' ORDER BY budget.budget;

-- name: read_leases
-- As they are told to the hot store: nothing, of a window of which more is taken than its limit allows since that was
-- lowered. Then each operation has to ask.
SELECT lease.share_key, lease.window_start_ms, lease.version,
       CASE WHEN %(counted)s OR budget.limit_amount >= (
           SELECT sum(greatest(each.amount, coalesce(total.reserved + total.committed - total.refunded, 0)))
           FROM platform_share AS sharing
           JOIN platform_lease AS each
               ON each.share_key = sharing.share_key AND each.window_start_ms = lease.window_start_ms
           LEFT JOIN window_total AS total
               ON total.budget_key = each.share_key AND total.window_start_ms = each.window_start_ms
           WHERE sharing.budget_key = share.budget_key
       ) THEN lease.amount ELSE 0 END AS amount
FROM platform_lease AS lease
JOIN platform_share AS share USING (share_key)
JOIN budget USING (budget_key)
WHERE (lease.share_key, lease.window_start_ms) IN (SELECT * FROM unnest(%(share_key)s::bigint[], %(start_ms)s::bigint[]));

-- name: lock_budget
-- Leases of a budget are given one after the other. No row where it denies nobody.
SELECT budget.budget_key, limit_amount FROM budget
JOIN platform_share USING (budget_key)
WHERE share_key = %(share_key)s AND end_time IS NULL AND enforcement <> 'NOTIFY'
FOR NO KEY UPDATE OF budget;

-- name: taken
-- What tenants have leased of a window, or have used where that is more.
SELECT coalesce(sum(greatest(amount, used)) FILTER (WHERE share_key <> %(share_key)s), 0)::bigint AS others,
       coalesce(max(amount) FILTER (WHERE share_key = %(share_key)s), 0)::bigint AS own
FROM (
    SELECT share.share_key, coalesce(lease.amount, 0) AS amount,
           coalesce(total.reserved + total.committed - total.refunded, 0) AS used
    FROM platform_share AS share
    LEFT JOIN platform_lease AS lease
        ON lease.share_key = share.share_key AND lease.window_start_ms = %(start_ms)s
    LEFT JOIN window_total AS total
        ON total.budget_key = share.share_key AND total.window_start_ms = %(start_ms)s
    WHERE share.budget_key = %(budget_key)s
) AS standing;

-- name: put_lease
INSERT INTO platform_lease (share_key, window_start_ms, amount, version)
VALUES (%(share_key)s, %(start_ms)s, %(amount)s, 1)
ON CONFLICT (share_key, window_start_ms) DO UPDATE SET
    amount = excluded.amount, version = platform_lease.version + 1, change_time = now()
RETURNING amount, version;

-- name: begin_shrink
UPDATE platform_lease SET version = version + 1
WHERE share_key = %(share_key)s AND window_start_ms = %(start_ms)s AND amount > %(amount)s
RETURNING amount, version;

-- name: end_shrink
-- The hot store may have been replaced since, and have been told the lease as it was.
UPDATE platform_lease SET amount = %(amount)s, change_time = now()
WHERE share_key = %(share_key)s AND window_start_ms = %(start_ms)s AND version = %(version)s
      AND (SELECT epoch FROM hot_store FOR SHARE) = %(epoch)s
RETURNING amount;

-- name: idle_leases
SELECT share.tenant, share.share_key, %(start_ms)s::bigint AS window_start_ms, lease.amount, lease.version,
       coalesce(total.reserved + total.committed - total.refunded, 0) AS used,
       lease.change_time > clock_timestamp() - interval '0.1 s' AS is_fresh
FROM platform_share AS asking
JOIN platform_share AS share ON share.budget_key = asking.budget_key
JOIN platform_lease AS lease ON lease.share_key = share.share_key AND lease.window_start_ms = %(start_ms)s
LEFT JOIN window_total AS total
    ON total.budget_key = share.share_key AND total.window_start_ms = %(start_ms)s
WHERE asking.share_key = %(share_key)s AND share.share_key <> asking.share_key
      AND lease.amount > greatest(coalesce(total.reserved + total.committed - total.refunded, 0), 0)
ORDER BY lease.amount - greatest(coalesce(total.reserved + total.committed - total.refunded, 0), 0) DESC
LIMIT %(limit)s;

-- name: platform_counts
-- What all tenants together count of budgets of the platform.
SELECT share.budget_key, sum(reserved)::bigint AS reserved, sum(committed)::bigint AS committed,
       sum(refunded)::bigint AS refunded
FROM unnest(%(budget_key)s::bigint[], %(start_ms)s::bigint[]) AS wanted (budget_key, window_start_ms)
JOIN platform_share AS share USING (budget_key)
JOIN window_total AS total
    ON total.budget_key = share.share_key AND total.window_start_ms = wanted.window_start_ms
GROUP BY share.budget_key;

-- name: standing_leases
-- The leases of the windows in force.
SELECT share.tenant, lease.share_key, lease.window_start_ms, lease.amount, lease.version, budget.unit,
       coalesce(total.reserved + total.committed - total.refunded, 0) AS used
FROM budget
JOIN platform_share AS share USING (budget_key)
JOIN platform_lease AS lease
    ON lease.share_key = share.share_key AND lease.window_start_ms = CASE "window" WHEN 'TOTAL' THEN 0 ELSE
        extract(epoch FROM date_trunc("window", to_timestamp(%(now_ms)s / 1000.0), 'UTC'))::bigint * 1000 END
LEFT JOIN window_total AS total
    ON total.budget_key = lease.share_key AND total.window_start_ms = lease.window_start_ms
WHERE budget.account = 'platform' AND budget.end_time IS NULL AND budget.enforcement <> 'NOTIFY' AND lease.amount > 0
ORDER BY lease.change_time DESC LIMIT %(limit)s;

-- name: leased_windows
SELECT share_key, window_start_ms, unit FROM platform_lease
JOIN platform_share USING (share_key) JOIN budget USING (budget_key) WHERE tenant = %(tenant)s;

-- name: over_limit
-- The windows of which more is counted as leased than their limit, as after that was lowered.
SELECT budget.budget, budget.unit, lease.window_start_ms, budget.limit_amount, array_agg(share.tenant) AS tenants,
       array_agg(share.share_key) AS share_keys
FROM platform_lease AS lease
JOIN platform_share AS share USING (share_key)
JOIN budget USING (budget_key)
WHERE budget.end_time IS NULL AND budget.enforcement <> 'NOTIFY'
GROUP BY budget.budget_key, lease.window_start_ms
HAVING sum(lease.amount) > budget.limit_amount;

-- name: platform_crossings
-- The thresholds that all tenants together have reached, unless that is known.
SELECT budget_key, budget, budget.unit, "window", start_ms, percent, net, limit_amount
FROM (
    SELECT budget.budget_key, totals.window_start_ms AS start_ms, sum(totals.committed - totals.refunded)::bigint AS net
    FROM budget
    JOIN platform_share AS share USING (budget_key)
    JOIN window_total AS totals
        ON totals.budget_key = share.share_key AND totals.window_start_ms = CASE "window" WHEN 'TOTAL' THEN 0 ELSE
            extract(epoch FROM date_trunc("window", to_timestamp(%(now_ms)s / 1000.0), 'UTC'))::bigint * 1000 END
    WHERE budget.account = 'platform' AND budget.end_time IS NULL AND budget.unit <> 'RESERVATIONS'
    GROUP BY budget.budget_key, totals.window_start_ms
) AS used
JOIN budget USING (budget_key)
CROSS JOIN unnest(alert_thresholds) AS percent
WHERE net > 0 AND net * 100 >= limit_amount::numeric * percent AND NOT EXISTS (
    SELECT FROM alert_case
    WHERE kind = 'BUDGET_THRESHOLD' AND dedup_key = budget_key || ':' || start_ms || ':' || percent
)
ORDER BY budget_key, percent;

-- name: over_leased
-- The leases of windows of which more is taken than their limit allows, since that was lowered.
WITH standing AS (
    SELECT share.budget_key, share.tenant, lease.share_key, lease.window_start_ms, lease.amount, lease.version,
           budget.unit, budget.limit_amount, lease.change_time,
           coalesce(total.reserved + total.committed - total.refunded, 0) AS used
    FROM platform_lease AS lease
    JOIN platform_share AS share USING (share_key)
    JOIN budget USING (budget_key)
    LEFT JOIN window_total AS total
        ON total.budget_key = lease.share_key AND total.window_start_ms = lease.window_start_ms
    WHERE budget.end_time IS NULL AND budget.enforcement <> 'NOTIFY'
), sums AS (
    SELECT budget_key, window_start_ms FROM standing GROUP BY budget_key, window_start_ms, limit_amount
    HAVING sum(greatest(amount, used)) > limit_amount
)
SELECT tenant, share_key, window_start_ms, amount, version, unit, used
FROM standing JOIN sums USING (budget_key, window_start_ms)
-- What was lowered since then is low. What was not may have been given by the limit as it was, also after the change
-- began: that has the time of its beginning.
WHERE amount > 0
    AND (amount > used OR change_time <= (SELECT policy_time FROM tenant WHERE tenant = 'platform'))
ORDER BY share_key, window_start_ms;
