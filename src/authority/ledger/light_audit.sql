-- Named statements; ledger/light_audit.py reads them by name. Each row is a number that is not what it should be.

-- name: size
SELECT coalesce(max(sequence), 0) AS operation_count FROM operation WHERE tenant = %(tenant)s

-- name: unbalanced
-- Operations of late whose entries do not sum to zero.
SELECT 'ledger' AS place, 'operation ' || operation_id AS subject, 'balance' AS field, '0' AS expected,
       sum(amount)::text AS found
FROM ledger_entry WHERE tenant = %(tenant)s AND create_time >= %(since)s
GROUP BY operation_id, budget_key, window_start_ms, unit HAVING sum(amount) <> 0

-- name: windows
-- Windows that began of late, by the entries: there are none of them from before.
SELECT 'window_total' AS place, 'window ' || budget_key || ':' || window_start_ms || ':' || unit AS subject,
       row.field, row.expected::text, row.found::text
FROM (
    SELECT budget_key, window_start_ms, unit,
           coalesce(sum(amount) FILTER (WHERE book = 'RESERVED'), 0) AS reserved,
           coalesce(sum(amount) FILTER (WHERE book = 'COMMITTED'), 0) AS committed,
           coalesce(-sum(amount) FILTER (WHERE book = 'REFUNDED'), 0) AS refunded
    FROM ledger_entry
    WHERE tenant = %(tenant)s AND create_time >= %(since)s AND window_start_ms >= %(since_ms)s
    GROUP BY budget_key, window_start_ms, unit
) AS entries
FULL JOIN (
    SELECT budget_key, window_start_ms, unit, reserved, committed, refunded FROM window_total
    WHERE tenant = %(tenant)s AND window_start_ms >= %(since_ms)s
) AS total USING (budget_key, window_start_ms, unit)
CROSS JOIN LATERAL (
    VALUES ('reserved', coalesce(entries.reserved, 0), coalesce(total.reserved, 0)),
           ('committed', coalesce(entries.committed, 0), coalesce(total.committed, 0)),
           ('refunded', coalesce(entries.refunded, 0), coalesce(total.refunded, 0))
) AS row (field, expected, found)
WHERE row.expected <> row.found

-- name: holds
-- What windows and lots count as reserved is what open reservations hold on them.
SELECT 'window_total' AS place, 'window ' || budget_key || ':' || window_start_ms AS subject,
       'reserved by open reservations' AS field, coalesce(held.amount, 0)::text AS expected,
       coalesce(total.reserved, 0)::text AS found
FROM (
    SELECT budget_key, window_start_ms, sum(amount) AS amount
    FROM (
        SELECT split_part(counted, ':', 1)::bigint AS budget_key, split_part(counted, ':', 2)::bigint AS window_start_ms,
               split_part(leg, ':', 3)::bigint AS amount
        FROM reservation, string_to_table(windows, ' ') AS counted, string_to_table(legs, ';') AS leg
        WHERE tenant = %(tenant)s AND state = 'HELD' AND windows <> ''
          AND split_part(leg, ':', 1) = split_part(counted, ':', 3)
        UNION ALL
        SELECT split_part(taken, ':', 1)::bigint, split_part(taken, ':', 2)::bigint, split_part(taken, ',', 4)::bigint
        FROM reservation, string_to_table(grants, ' ') AS taken
        WHERE tenant = %(tenant)s AND state = 'HELD' AND grants <> ''
    ) AS held_by_reservation
    GROUP BY budget_key, window_start_ms
) AS held
FULL JOIN (
    SELECT budget_key, window_start_ms, reserved FROM window_total WHERE tenant = %(tenant)s AND reserved <> 0
) AS total USING (budget_key, window_start_ms)
WHERE coalesce(held.amount, 0) <> coalesce(total.reserved, 0)

-- name: record
-- That it was looked at is so; what a whole audit has found, only a whole one takes back.
INSERT INTO audit_run (tenant, audit_ms, difference_count) VALUES (%(tenant)s, %(audit_ms)s, %(difference_count)s)
ON CONFLICT (tenant) DO UPDATE
SET audit_ms = excluded.audit_ms, difference_count = greatest(audit_run.difference_count, excluded.difference_count)
