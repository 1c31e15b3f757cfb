-- Named statements, and a part of one, of ledger/usage_upkeep.py.

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

-- name: events_of_time
events AS (
    SELECT * FROM usage_event WHERE event_time >= %(start)s AND event_time < %(end)s
)

-- name: make_months
SELECT ensure_usage_month(%(now)s::timestamptz), ensure_usage_month(%(now)s::timestamptz + interval '1 month');

-- name: drop_months
SELECT dropped FROM drop_usage_months(%(before)s) AS dropped;
