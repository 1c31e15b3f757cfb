-- Named statements; ledger/queries.py reads them by name.

-- name: lock_epoch
-- Holds the epoch still until the transaction ends.
SELECT epoch FROM hot_store FOR SHARE;

-- name: lock_tenants
-- Lets one transaction at a time write a tenant's operations: their order has no gap.
SELECT FROM tenant WHERE tenant = ANY(%(tenant)s::text[]) ORDER BY tenant FOR NO KEY UPDATE;

-- name: heads
-- The last operation of each tenant that has any.
SELECT row.tenant, head.sequence, head.epoch
FROM unnest(%(tenant)s::text[]) AS row (tenant)
CROSS JOIN LATERAL (
    SELECT sequence, epoch FROM operation WHERE operation.tenant = row.tenant ORDER BY sequence DESC LIMIT 1
) AS head;

-- name: read_hot_store_for_update
SELECT epoch, run_id FROM hot_store FOR UPDATE;

-- name: write_hot_store
UPDATE hot_store SET epoch = %(epoch)s, run_id = %(run_id)s, change_time = now();

-- name: advance_epoch
-- Does nothing if another process has advanced it since.
UPDATE hot_store SET epoch = epoch + 1, change_time = now() WHERE epoch = %(epoch)s;

-- name: write_operations
-- Writes operations, their entries, and what they make of reservations and window totals: all, or
-- nothing where they were decided in another epoch than `fence`, or those of one of `tenants` do not
-- follow what the ledger has. It is one statement, and so a transaction where there is none around it.
-- It sees what others wrote before it began; should they have written since, a place is taken, and the
-- key of `operation` says so.
-- The keys and amounts of all entries come in one array each, with where in it each operation's own end.
-- The rows come in the order of their ids, so that two processes never wait for one another.
WITH fence AS MATERIALIZED (
    SELECT epoch FROM hot_store FOR SHARE
), locked AS MATERIALIZED (
    SELECT tenant FROM tenant WHERE tenant = ANY(%(tenants)s::text[]) ORDER BY tenant FOR NO KEY UPDATE
), ground AS MATERIALIZED (
    SELECT TRUE AS holds
    WHERE (SELECT %(fence)s::bigint IS NULL OR epoch = %(fence)s::bigint FROM fence)
          AND (SELECT count(*) FROM locked) = cardinality(%(tenants)s::text[])
          AND NOT EXISTS (
              SELECT FROM unnest(%(tenants)s::text[], %(first_sequences)s::bigint[])
                   AS first (tenant, sequence)
              LEFT JOIN LATERAL (
                  SELECT sequence FROM operation WHERE operation.tenant = first.tenant
                  ORDER BY sequence DESC LIMIT 1
              ) AS head ON TRUE
              WHERE coalesce(head.sequence, 0) <> first.sequence - 1
          )
), posted AS (
    INSERT INTO ledger_posting (operation_id, tenant, sequence, create_time, account, reservation_id, books,
                                units, budget_keys, window_starts_ms, amounts)
    SELECT operation_id, tenant, sequence, create_time, account, reservation_id, books, units,
           (%(entry_key)s::bigint[])[key_end - key_count + 1 : key_end],
           (%(entry_start_ms)s::bigint[])[key_end - key_count + 1 : key_end],
           (%(entry_amount)s::bigint[])[amount_end - length(books) + 1 : amount_end]
    FROM (
        SELECT unnest(%(operation_id)s::uuid[]) AS operation_id, unnest(%(tenant)s::text[]) AS tenant,
               unnest(%(sequence)s::bigint[]) AS sequence, unnest(%(create_time)s::timestamptz[]) AS create_time,
               unnest(%(account)s::text[]) AS account, unnest(%(reservation_id)s::text[]) AS reservation_id,
               unnest(%(books)s::text[]) AS books, unnest(%(units)s::text[]) AS units,
               unnest(%(key_end)s::bigint[]) AS key_end, unnest(%(key_count)s::bigint[]) AS key_count,
               unnest(%(amount_end)s::bigint[]) AS amount_end
        FROM ground
    ) AS row WHERE books <> ''
), reserved AS (
    INSERT INTO reservation (reservation_id, tenant, account, state, sequence, legs, windows, option_index,
                             late, labels, commit_key, create_ms, expire_ms, settle_ms, grants, receipt)
    SELECT unnest(%(held_id)s::text[]), unnest(%(held_tenant)s::text[]), unnest(%(held_account)s::text[]),
           unnest(%(state)s::text[]), unnest(%(held_sequence)s::bigint[]), unnest(%(legs)s::text[]),
           unnest(%(windows)s::text[]), unnest(%(option_index)s::smallint[]), unnest(%(late)s::boolean[]),
           unnest(%(labels)s::jsonb[]), unnest(%(commit_key)s::text[]), unnest(%(create_ms)s::bigint[]),
           unnest(%(expire_ms)s::bigint[]), unnest(%(settle_ms)s::bigint[]), unnest(%(grants)s::text[]),
           unnest(%(receipt)s::text[])
    FROM ground
    ON CONFLICT (reservation_id) DO UPDATE SET
        state = excluded.state, sequence = excluded.sequence, legs = excluded.legs,
        windows = excluded.windows, late = excluded.late, commit_key = excluded.commit_key,
        expire_ms = excluded.expire_ms, settle_ms = excluded.settle_ms, grants = excluded.grants,
        receipt = excluded.receipt
    WHERE reservation.sequence < excluded.sequence
), counted AS (
    INSERT INTO window_total (budget_key, window_start_ms, unit, tenant, reserved, committed, refunded)
    SELECT unnest(%(budget_key)s::bigint[]), unnest(%(window_start_ms)s::bigint[]), unnest(%(unit)s::text[]),
           unnest(%(window_tenant)s::text[]), unnest(%(reserved)s::bigint[]), unnest(%(committed)s::bigint[]),
           unnest(%(refunded)s::bigint[])
    FROM ground
    ON CONFLICT (budget_key, window_start_ms) DO UPDATE SET
        reserved = window_total.reserved + excluded.reserved,
        committed = window_total.committed + excluded.committed,
        refunded = window_total.refunded + excluded.refunded
)
INSERT INTO operation (operation_id, tenant, sequence, epoch, kind, outcome, idempotency_key, account,
                       reservation_id, request, result, create_time)
SELECT unnest(%(operation_id)s::uuid[]), unnest(%(tenant)s::text[]), unnest(%(sequence)s::bigint[]),
       unnest(%(epoch)s::bigint[]), unnest(%(kind)s::text[]), unnest(%(outcome)s::text[]),
       unnest(%(idempotency_key)s::text[]), unnest(%(account)s::text[]), unnest(%(reservation_id)s::text[]),
       unnest(%(request)s::text[]), unnest(%(result)s::text[]), unnest(%(create_time)s::timestamptz[])
FROM ground;

-- name: operations_at
-- Which operations are in some places.
SELECT tenant, sequence, operation_id::text FROM operation
WHERE (tenant, sequence) IN (SELECT * FROM unnest(%(tenant)s::text[], %(sequence)s::bigint[]));

-- name: find_operation
SELECT request, result FROM operation WHERE tenant = %(tenant)s AND idempotency_key = %(key)s;

-- name: read_reservation
SELECT * FROM reservation WHERE reservation_id = %(reservation_id)s;

-- name: due_reservations
SELECT reservation_id FROM reservation
WHERE state = 'HELD' AND expire_ms <= %(now_ms)s
      AND reservation_id <> ALL(%(set_aside)s::text[]) ORDER BY expire_ms LIMIT %(limit)s;

-- name: open_reservations
SELECT reservation_id, expire_ms FROM reservation WHERE tenant = %(tenant)s AND state = 'HELD';

-- name: read_window_totals
SELECT budget_key, window_start_ms, unit, reserved, committed, refunded FROM window_total
WHERE (budget_key, window_start_ms) IN
      (SELECT * FROM unnest(%(budget_key)s::bigint[], %(window_start_ms)s::bigint[]));

-- name: read_tenant
-- A change of the platform's budgets is one of every tenant's policy: the versions of both add up.
SELECT tenant.policy_version + platform.policy_version AS policy_version, tenant.loaded_epoch, hot_store.epoch
FROM tenant, tenant AS platform, hot_store WHERE tenant.tenant = %(tenant)s AND platform.tenant = 'platform';

-- name: read_accounts
SELECT account, parent, display_name, time_zone, state, overage_policy, create_time,
       per_request_limits, reserves_per_minute, plan, end_ms, freeze_end_ms, submissions_per_minute
FROM account WHERE tenant = %(tenant)s;

-- name: read_budgets
SELECT budget.* FROM budget JOIN account USING (account) WHERE account.tenant = %(tenant)s
ORDER BY budget.account, budget.budget;

-- name: read_grants
-- Leaves out what has been spent, and what ended a month ago; never what is owed. Of each account and
-- unit the last that may be spent stays, even if it is spent: what nobody has is a debt of that one.
SELECT account_grant.* FROM account_grant
LEFT JOIN LATERAL (
    SELECT coalesce(sum(reserved), 0) AS reserved, coalesce(sum(committed - refunded), 0) AS spent
    FROM window_total WHERE budget_key = grant_key
) AS counts ON recurrence = 'TOTAL'
LEFT JOIN (
    SELECT DISTINCT ON (account, unit) grant_key AS last_key FROM account_grant
    WHERE tenant = %(tenant)s AND recurrence = 'TOTAL' AND effective_ms <= %(now_ms)s
          AND (void_ms = 0 OR void_ms > %(now_ms)s) AND (expire_ms = 0 OR expire_ms > %(now_ms)s)
    ORDER BY account, unit, priority DESC, (expire_ms = 0 AND void_ms = 0) DESC,
             least(nullif(expire_ms, 0), nullif(void_ms, 0)) DESC, create_ms DESC, grant_id DESC
) AS last_spendable ON last_key = grant_key
WHERE tenant = %(tenant)s AND (
    coalesce(counts.spent, 0) > amount OR last_key IS NOT NULL
    OR ((counts.spent IS NULL OR counts.spent < amount OR counts.reserved <> 0)
        AND (void_ms = 0 OR void_ms > %(ended_ms)s) AND (expire_ms = 0 OR expire_ms > %(ended_ms)s))
)
ORDER BY grant_key;

-- name: read_prepaid_units
SELECT DISTINCT account, unit FROM account_grant WHERE tenant = %(tenant)s;

-- name: read_grant
SELECT * FROM account_grant WHERE grant_id = %(grant_id)s;

-- name: list_grants
SELECT * FROM account_grant
WHERE account = %(account)s AND (%(before)s = '' OR grant_id < %(before)s)
  AND (%(unit)s = '' OR unit = %(unit)s)
ORDER BY grant_id DESC LIMIT %(limit)s;

-- name: insert_grants
INSERT INTO account_grant (grant_id, tenant, account, unit, amount, priority, effective_ms, expire_ms,
                           recurrence, refund_grace_ms, source, create_ms, price_micros)
SELECT * FROM unnest(
    %(grant_id)s::text[], %(tenant)s::text[], %(account)s::text[], %(unit)s::text[], %(amount)s::bigint[],
    %(priority)s::smallint[], %(effective_ms)s::bigint[], %(expire_ms)s::bigint[], %(recurrence)s::text[],
    %(refund_grace_ms)s::bigint[], %(source)s::text[], %(create_ms)s::bigint[],
    %(price_micros)s::bigint[]);

-- name: insert_restored_grants
-- A grant of what was refunded to one that had expired, on the same terms: with its part of the price.
INSERT INTO account_grant (grant_id, tenant, account, unit, amount, priority, effective_ms, expire_ms,
                           recurrence, refund_grace_ms, source, create_ms, price_micros)
SELECT restored.grant_id, old.tenant, old.account, old.unit, restored.amount, old.priority, restored.create_ms,
       restored.expire_ms, 'TOTAL', 0, 'refund', restored.create_ms,
       earned_micros(old.price_micros, old.amount, restored.amount)
FROM unnest(%(grant_id)s::text[], %(expired_grant_id)s::text[], %(amount)s::bigint[], %(expire_ms)s::bigint[],
            %(create_ms)s::bigint[])
     AS restored (grant_id, expired_grant_id, amount, expire_ms, create_ms)
JOIN account_grant AS old ON old.grant_id = restored.expired_grant_id;

-- name: raise_policy_versions
UPDATE tenant SET policy_version = policy_version + 1, policy_time = now()
WHERE tenant = ANY(%(tenant)s::text[]);

-- name: raise_policy_version
UPDATE tenant SET policy_version = policy_version + 1, policy_time = now()
WHERE tenant = %(tenant)s
RETURNING policy_version + (SELECT policy_version FROM tenant WHERE tenant = 'platform') AS policy_version;

-- name: recent_policy_versions
SELECT tenant.tenant, tenant.policy_version + platform.policy_version AS policy_version
FROM tenant, tenant AS platform
WHERE platform.tenant = 'platform' AND tenant.tenant <> 'platform'
      AND greatest(tenant.policy_time, platform.policy_time) > now() - interval '1 minute';

-- name: present_policy_versions
-- Of the tenants that are open in the present epoch.
SELECT tenant.tenant, tenant.policy_version + platform.policy_version AS policy_version
FROM tenant, tenant AS platform, hot_store
WHERE platform.tenant = 'platform' AND tenant.tenant <> 'platform' AND tenant.loaded_epoch = hot_store.epoch
ORDER BY tenant.tenant;

-- name: tenants
SELECT tenant FROM tenant WHERE tenant > %(after)s ORDER BY tenant LIMIT %(limit)s;

-- name: opened_tenants
SELECT tenant FROM tenant WHERE loaded_epoch > 0 ORDER BY tenant;

-- name: some_opened_tenants
-- Those behind one, in order: a tenth of all, and `least` or more if there are.
SELECT tenant FROM tenant WHERE loaded_epoch > 0 AND tenant > %(after)s ORDER BY tenant
LIMIT greatest(%(least)s, (SELECT count(*) / 10 FROM tenant WHERE loaded_epoch > 0));

-- name: lock_tenant
-- One process at a time opens a tenant. Held by the session, since opening is more than one transaction.
SELECT pg_advisory_lock(hashtextextended('paymaster.tenant.' || %(tenant)s::text, 0));

-- name: unlock_tenant
SELECT pg_advisory_unlock(hashtextextended('paymaster.tenant.' || %(tenant)s::text, 0));

-- name: last_sequence
-- A tenant's time never goes back, so the last operation is the latest.
SELECT coalesce(max(sequence), 0) AS sequence, coalesce(extract(epoch FROM max(create_time)) * 1000, 0)::bigint AS decide_ms
FROM (SELECT sequence, create_time FROM operation WHERE tenant = %(tenant)s ORDER BY sequence DESC LIMIT 1) AS last;

-- name: write_loaded_epoch
UPDATE tenant SET loaded_epoch = %(epoch)s WHERE tenant = %(tenant)s;

-- name: audit_windows
-- What the entries say of each window.
SELECT budget_key, window_start_ms, unit,
       coalesce(sum(amount) FILTER (WHERE book = 'RESERVED'), 0)::bigint AS reserved,
       coalesce(sum(amount) FILTER (WHERE book = 'COMMITTED'), 0)::bigint AS committed,
       coalesce(-sum(amount) FILTER (WHERE book = 'REFUNDED'), 0)::bigint AS refunded
FROM ledger_entry WHERE tenant = %(tenant)s AND budget_key IS NOT NULL
GROUP BY budget_key, window_start_ms, unit;

-- name: audit_windows_at
-- The same of some windows, up to a sequence.
SELECT budget_key, window_start_ms, unit,
       coalesce(sum(amount) FILTER (WHERE book = 'RESERVED'), 0)::bigint AS reserved,
       coalesce(sum(amount) FILTER (WHERE book = 'COMMITTED'), 0)::bigint AS committed,
       coalesce(-sum(amount) FILTER (WHERE book = 'REFUNDED'), 0)::bigint AS refunded
FROM ledger_entry
WHERE tenant = %(tenant)s AND sequence <= %(sequence)s AND (budget_key, window_start_ms) IN
      (SELECT * FROM unnest(%(budget_key)s::bigint[], %(window_start_ms)s::bigint[]))
GROUP BY budget_key, window_start_ms, unit;

-- name: audit_window_totals
SELECT budget_key, window_start_ms, unit, reserved, committed, refunded
FROM window_total WHERE tenant = %(tenant)s;

-- name: audit_unbalanced
SELECT operation_id::text, sum(amount)::bigint AS balance
FROM ledger_entry WHERE tenant = %(tenant)s
GROUP BY operation_id, budget_key, window_start_ms, unit HAVING sum(amount) <> 0;

-- name: audit_reservations
-- By the accounts, whose reservations an index finds.
SELECT reservation.* FROM reservation JOIN account USING (account) WHERE account.tenant = %(tenant)s;

-- name: audit_charges
-- What the entries say of each reservation: charged less refunded, actual, and still held.
SELECT reservation_id, unit,
       coalesce(sum(amount) FILTER (WHERE book = 'CHARGED'), 0)::bigint AS charged,
       coalesce(-sum(amount) FILTER (WHERE book = 'PROVIDER'), 0)::bigint AS actual
FROM ledger_entry WHERE tenant = %(tenant)s AND budget_key IS NULL GROUP BY reservation_id, unit;

-- name: audit_holds
SELECT reservation_id, budget_key, window_start_ms, unit,
       coalesce(sum(amount) FILTER (WHERE book = 'RESERVED'), 0)::bigint AS reserved,
       coalesce(sum(amount) FILTER (WHERE book = 'COMMITTED'), 0)::bigint AS committed,
       coalesce(-sum(amount) FILTER (WHERE book = 'REFUNDED'), 0)::bigint AS refunded
FROM ledger_entry WHERE tenant = %(tenant)s AND budget_key IS NOT NULL
GROUP BY reservation_id, budget_key, window_start_ms, unit;

-- name: count_operations
SELECT count(*) AS count FROM operation WHERE tenant = %(tenant)s;

-- name: ensure_months
SELECT ensure_ledger_month(now()), ensure_ledger_month(now() + interval '1 month');
