-- Named statements; ledger/history.py reads them by name. A listing is its base and one of its tails.

-- name: entries
SELECT entry.operation_id::text, entry.line, entry.sequence, operation.kind, entry.account,
       coalesce(entry.reservation_id, '') AS reservation_id, entry.book,
       coalesce(budget.account || ' ' || budget.budget, '') AS budget,
       coalesce(account_grant.grant_id, '') AS grant_id,
       coalesce(entry.window_start_ms, 0) AS window_start_ms, entry.unit, entry.amount,
       coalesce(operation.idempotency_key, '') AS idempotency_key,
       (extract(epoch FROM entry.create_time) * 1000)::bigint AS decide_ms,
       CASE WHEN operation.kind IN ('CACHE_HIT', 'CACHE_REVERSAL') THEN operation.request::json END AS cache_use
FROM ledger_entry AS entry
JOIN operation USING (tenant, sequence)
LEFT JOIN platform_share AS share ON share.share_key = entry.budget_key
LEFT JOIN budget ON budget.budget_key = coalesce(share.budget_key, entry.budget_key)
LEFT JOIN account_grant ON account_grant.grant_key = entry.budget_key
WHERE entry.tenant = %(tenant)s AND entry.account = ANY(%(accounts)s::text[])
  AND (%(reservation_id)s = '' OR entry.reservation_id = %(reservation_id)s)
  AND entry.create_time >= to_timestamp(%(start_ms)s / 1000.0)
  AND entry.create_time < to_timestamp(%(end_ms)s / 1000.0)

-- name: entries_onward
-- The bound of the sequence alone is for the index, which knows of no lines.
AND entry.sequence >= %(sequence)s AND (entry.sequence, entry.line) > (%(sequence)s, %(line)s)
ORDER BY entry.sequence, entry.line LIMIT %(limit)s

-- name: entries_back
AND entry.sequence <= %(sequence)s AND (entry.sequence, entry.line) < (%(sequence)s, %(line)s)
ORDER BY entry.sequence DESC, entry.line DESC LIMIT %(limit)s

-- name: reservations
SELECT * FROM reservation
WHERE account = ANY(%(accounts)s::text[]) AND (%(state)s = '' OR state = %(state)s)

-- name: reservations_onward
AND (create_ms, reservation_id) > (%(create_ms)s, %(reservation_id)s)
ORDER BY create_ms, reservation_id LIMIT %(limit)s

-- name: reservations_back
AND (create_ms, reservation_id) < (%(create_ms)s, %(reservation_id)s)
ORDER BY create_ms DESC, reservation_id DESC LIMIT %(limit)s

-- name: counts_at
-- What is counted today less what has been added since: the past is mostly near. A statement reads
-- one snapshot, and totals change with the entries in one transaction.
SELECT wanted.budget_key, wanted.window_start_ms, wanted.unit,
       (coalesce(total.reserved, 0) - coalesce(since.reserved, 0))::bigint AS reserved,
       (coalesce(total.committed, 0) - coalesce(since.committed, 0))::bigint AS committed,
       (coalesce(total.refunded, 0) - coalesce(since.refunded, 0))::bigint AS refunded
FROM unnest(%(budget_key)s::bigint[], %(window_start_ms)s::bigint[], %(unit)s::text[])
     AS wanted (budget_key, window_start_ms, unit)
LEFT JOIN window_total AS total USING (budget_key, window_start_ms)
LEFT JOIN (
    SELECT budget_key, window_start_ms,
           sum(amount) FILTER (WHERE book = 'RESERVED') AS reserved,
           sum(amount) FILTER (WHERE book = 'COMMITTED') AS committed,
           -sum(amount) FILTER (WHERE book = 'REFUNDED') AS refunded
    FROM ledger_entry
    WHERE tenant = %(tenant)s AND budget_key = ANY(%(budget_key)s::bigint[])
      AND create_time >= to_timestamp((%(moment_ms)s + 1) / 1000.0)
    GROUP BY budget_key, window_start_ms
) AS since USING (budget_key, window_start_ms);

-- name: grants_at
SELECT * FROM account_grant
WHERE account = ANY(%(accounts)s::text[]) AND create_ms <= %(moment_ms)s ORDER BY grant_key;

-- name: budgets_at
-- What the first change since has replaced; no row for a budget that was not changed.
SELECT DISTINCT ON (resource) resource, before FROM admin_audit
WHERE resource_type = 'budget' AND resource = ANY(%(resources)s::text[]) AND before IS NOT NULL
  AND change_time > to_timestamp(%(moment_ms)s / 1000.0)
ORDER BY resource, change_number;
