-- Named statements of ledger/accounts.py. Whoever changes an account or a budget has raised the tenant's
-- policy version before, in the same transaction: so they come one after the other.

-- name: insert_tenant
INSERT INTO tenant (tenant) VALUES (%(tenant)s) ON CONFLICT DO NOTHING;

-- name: find_account
SELECT * FROM account WHERE account = %(account)s;

-- name: read_place
-- Says which accounts are above a place, and how many levels the account that is to stand there has.
WITH RECURSIVE above AS (
    SELECT account, parent FROM account WHERE account = %(parent)s
    UNION
    SELECT account.account, account.parent FROM account JOIN above ON account.account = above.parent
    WHERE account.account <> 'platform'
), below AS (
    SELECT account, 1 AS level FROM account WHERE account = %(account)s
    UNION ALL
    SELECT account.account, level + 1 FROM account JOIN below ON account.parent = below.account
    WHERE level < %(depth_max)s
)
SELECT array(SELECT account FROM above) AS above, coalesce((SELECT max(level) FROM below), 1) AS height;

-- name: insert_account
INSERT INTO account (account, tenant, parent, display_name, time_zone, state, overage_policy, create_time,
                     per_request_limits, reserves_per_minute, plan, end_ms, submissions_per_minute)
VALUES (%(account)s, %(tenant)s, %(parent)s, %(display_name)s, %(time_zone)s, %(state)s,
        %(overage_policy)s, %(create_time)s, %(per_request_limits)s, %(reserves_per_minute)s, %(plan)s,
        %(end_ms)s, %(submissions_per_minute)s)
ON CONFLICT DO NOTHING RETURNING account;

-- name: update_account
UPDATE account SET parent = %(parent)s, display_name = %(display_name)s, state = %(state)s,
    overage_policy = %(overage_policy)s, per_request_limits = %(per_request_limits)s,
    reserves_per_minute = %(reserves_per_minute)s, plan = %(plan)s, end_ms = %(end_ms)s,
    freeze_end_ms = %(freeze_end_ms)s, submissions_per_minute = %(submissions_per_minute)s
WHERE account = %(account)s RETURNING account;

-- name: list_accounts
SELECT * FROM account
WHERE account > %(after)s AND account <> 'platform' AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(parent)s = '' OR parent = %(parent)s) AND (%(state)s = '' OR state = %(state)s)
ORDER BY account LIMIT %(limit)s;

-- name: list_accounts_back
SELECT * FROM account
WHERE (%(after)s = '' OR account < %(after)s) AND account <> 'platform' AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(parent)s = '' OR parent = %(parent)s) AND (%(state)s = '' OR state = %(state)s)
ORDER BY account DESC LIMIT %(limit)s;

-- name: ended_accounts
SELECT account FROM account
WHERE end_ms <> 0 AND end_ms <= %(now_ms)s AND state <> 'CLOSED' AND account <> ALL(%(set_aside)s::text[])
ORDER BY end_ms LIMIT %(limit)s;

-- name: count_budgets
SELECT count(*) AS count FROM budget WHERE account = %(account)s AND end_time IS NULL;

-- name: find_budget
SELECT * FROM budget WHERE account = %(account)s AND budget = %(budget)s AND end_time IS NULL;

-- name: insert_budget
INSERT INTO budget (account, budget, unit, "window", limit_amount, enforcement, alert_thresholds, create_time,
                    update_time)
VALUES (%(account)s, %(budget)s, %(unit)s, %(window)s, %(limit)s, %(enforcement)s, %(alert_thresholds)s, %(create_time)s,
        %(update_time)s) ON CONFLICT DO NOTHING RETURNING *;

-- name: update_budget
UPDATE budget SET limit_amount = %(limit)s, enforcement = %(enforcement)s,
    alert_thresholds = %(alert_thresholds)s, update_time = %(update_time)s
WHERE account = %(account)s AND budget = %(budget)s RETURNING budget;

-- name: list_budgets
SELECT * FROM budget WHERE (account, budget) > (%(account_after)s, %(budget_after)s) AND end_time IS NULL
  AND (%(account)s = '' OR account = %(account)s) AND (%(unit)s = '' OR unit = %(unit)s)
  AND (%(tenant)s = '' OR split_part(account, '/', 1) = %(tenant)s)
ORDER BY account, budget LIMIT %(limit)s;
