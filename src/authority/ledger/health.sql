-- Named statements of ledger/health.py.

-- name: server
SELECT current_setting('server_version') AS version, pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
       AS is_read_only;

-- name: time
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS now_ms;

-- name: epoch
SELECT epoch FROM hot_store;

-- name: expired
-- Counts no further than people can tell apart.
SELECT count(*) AS count, coalesce(min(expire_ms), 0) AS first_ms
FROM (
    SELECT expire_ms FROM reservation WHERE state = 'HELD' AND expire_ms <= %(now_ms)s ORDER BY expire_ms LIMIT 1000
) AS due;

-- name: usage_lag
-- Since when the first operation that is not in the usage log waits, and of how many tenants.
SELECT count(*) AS count, coalesce(extract(epoch FROM min(next.create_time)) * 1000, 0)::bigint AS first_ms
FROM tenant LEFT JOIN usage_cursor USING (tenant)
CROSS JOIN LATERAL (
    SELECT create_time FROM operation
    WHERE operation.tenant = tenant.tenant AND sequence > coalesce(usage_cursor.sequence, 0)
    ORDER BY sequence LIMIT 1
) AS next;

-- name: record_audit
INSERT INTO audit_run (tenant, audit_ms, difference_count) VALUES (%(tenant)s, %(audit_ms)s, %(difference_count)s)
ON CONFLICT (tenant) DO UPDATE SET audit_ms = excluded.audit_ms, difference_count = excluded.difference_count;

-- name: audits
-- Which tenants differ, where '' is what is of none; and how many have operations from before `since` and were not audited
-- since then.
SELECT coalesce(sum(difference_count), 0)::bigint AS difference_count,
       coalesce(array_agg(tenant ORDER BY tenant) FILTER (WHERE difference_count > 0), '{}') AS differing,
       count(*) FILTER (
           WHERE coalesce(audit_ms, 0) < %(since_ms)s AND EXISTS (
               SELECT FROM operation
               WHERE operation.tenant = tenant.tenant AND sequence = 1
                     AND create_time < to_timestamp(%(since_ms)s::double precision / 1000)
           )
       ) AS overdue_count
FROM tenant FULL JOIN audit_run USING (tenant) WHERE tenant = '' OR loaded_epoch > 0;

-- name: untold_alerts
SELECT count(*) AS count, coalesce(min(greatest(create_ms, retry_ms)), 0) AS first_ms
FROM webhook_delivery WHERE state = 'PENDING';
