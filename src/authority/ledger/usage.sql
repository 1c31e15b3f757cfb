-- Named statements of ledger/usage.py.

-- name: enter_tenant
-- For this transaction alone: rows of others are not there, by row-level security, for whom the role of look-ups is.
SELECT set_config('paymaster.tenant', %(tenant)s, true), set_config('role', CASE
    WHEN has_cache_role() AND has_table_privilege('paymaster_cache', 'usage_event', 'SELECT') THEN 'paymaster_cache'
    ELSE 'none'
END, true);

-- name: time_zone
SELECT time_zone FROM usage_calendar;

-- name: prepare_query
-- All that follows in the transaction reads ranges of sums. A loop over them for each row would never be faster, nor to
-- sort what is to be added up, nor to compile the statement, nor to start processes for it; what bad estimates say of that
-- is not to count.
SELECT time_zone, set_config('enable_nestloop', 'off', true), set_config('enable_sort', 'off', true),
    set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('work_mem', '64MB', true)
FROM usage_calendar;

-- name: behind_since
-- When the first operation was decided that is not in the log yet; no row where all are. '' is all tenants.
SELECT operation.create_time FROM tenant
LEFT JOIN usage_cursor ON usage_cursor.tenant = tenant.tenant
CROSS JOIN LATERAL (
    SELECT create_time FROM operation
    WHERE operation.tenant = tenant.tenant AND operation.sequence > coalesce(usage_cursor.sequence, 0)
    ORDER BY operation.sequence LIMIT 1
) AS operation
WHERE %(tenant)s = '' OR tenant.tenant = %(tenant)s
ORDER BY operation.create_time LIMIT 1;

-- name: first_time
SELECT min(bucket) AS first_time FROM usage_total
WHERE grain = 1440 AND level = CASE WHEN %(tenant)s = '' THEN 0 ELSE 1 END AND tenant = %(tenant)s;

-- name: top_entries
-- A hit that was taken back is none.
SELECT entry_id, sum(CASE outcome WHEN 'HIT' THEN 1 ELSE -1 END)::bigint AS hit_count, sum(saved_micros)::bigint AS saved
FROM usage_event
WHERE entry_id IS NOT NULL AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
  AND event_time >= %(start)s AND event_time < %(end)s
GROUP BY entry_id ORDER BY hit_count DESC, saved DESC, entry_id LIMIT %(limit)s;
