-- Named statements of ledger/plans.py.

-- name: lock_plans
-- Plans are changed one at a time, while no account changes its plan. Taken before any tenant is locked.
SELECT pg_advisory_xact_lock(hashtextextended('paymaster.plans', 0));

-- name: lock_plans_shared
SELECT pg_advisory_xact_lock_shared(hashtextextended('paymaster.plans', 0));

-- name: find_plan
SELECT * FROM plan WHERE plan = %(plan)s;

-- name: list_plans
SELECT * FROM plan WHERE plan > %(after)s ORDER BY plan LIMIT %(limit)s;

-- name: plans_of_tenant
SELECT * FROM plan WHERE plan IN (SELECT plan FROM account WHERE tenant = %(tenant)s AND plan <> '');

-- name: insert_plan
INSERT INTO plan (plan, budgets, grants, per_request_limits, reserves_per_minute, tier, submissions_per_minute, abuse,
                  version, create_time, update_time)
VALUES (%(plan)s, %(budgets)s, %(grants)s, %(per_request_limits)s, %(reserves_per_minute)s, %(tier)s,
        %(submissions_per_minute)s, %(abuse)s, %(version)s, %(create_time)s, %(update_time)s)
ON CONFLICT DO NOTHING RETURNING plan;

-- name: update_plan
UPDATE plan SET budgets = %(budgets)s, grants = %(grants)s, per_request_limits = %(per_request_limits)s,
    reserves_per_minute = %(reserves_per_minute)s, tier = %(tier)s, submissions_per_minute = %(submissions_per_minute)s,
    abuse = %(abuse)s, version = %(version)s, update_time = %(update_time)s
WHERE plan = %(plan)s;

-- name: keep_version
-- Keeps the plan as it is now, for when it is another.
INSERT INTO plan_version (plan, version, budgets, grants, per_request_limits, reserves_per_minute, tier,
                          submissions_per_minute, abuse, create_time, update_time)
SELECT plan, version, budgets, grants, per_request_limits, reserves_per_minute, tier, submissions_per_minute, abuse,
       create_time, update_time
FROM plan WHERE plan = %(plan)s;

-- name: find_version
SELECT * FROM plan_version WHERE plan = %(plan)s AND version = %(version)s;

-- name: list_versions
-- With who made each and why, as the record of changes has it.
SELECT plan_version.*, coalesce(change.actor, '') AS actor, coalesce(change.reason, '') AS reason
FROM plan_version LEFT JOIN LATERAL (
    SELECT actor, reason FROM admin_audit
    WHERE resource = plan_version.plan AND resource_type = 'plan' AND (after ->> 'version')::bigint = plan_version.version
    ORDER BY change_number LIMIT 1
) AS change ON true
WHERE plan_version.plan = %(plan)s AND (%(before)s = 0 OR version < %(before)s)
ORDER BY version DESC LIMIT %(limit)s;

-- name: accounts_of_plan
SELECT account, tenant FROM account WHERE plan = %(plan)s ORDER BY account;

-- name: raise_versions_of
-- In order, so that two processes never wait for one another.
WITH locked AS (
    SELECT tenant FROM tenant WHERE tenant = ANY(%(tenants)s::text[]) ORDER BY tenant FOR UPDATE
)
UPDATE tenant SET policy_version = policy_version + 1, policy_time = now() FROM locked
WHERE tenant.tenant = locked.tenant
RETURNING tenant.tenant,
          policy_version + (SELECT platform.policy_version FROM tenant AS platform WHERE platform.tenant = 'platform')
          AS policy_version;

-- name: end_budgets
UPDATE budget SET end_time = %(change_time)s, update_time = %(change_time)s
WHERE account = ANY(%(accounts)s::text[]) AND starts_with(budget, 'plan-') AND end_time IS NULL
  AND budget <> ALL(%(budget)s::text[]);

-- name: put_budgets
-- One that had ended goes on with what was counted on it.
INSERT INTO budget (account, budget, unit, "window", limit_amount, enforcement, alert_thresholds, create_time,
                    update_time)
SELECT account, budget, unit, "window", limit_amount, enforcement, alert_thresholds::smallint[], %(change_time)s,
       %(change_time)s
FROM unnest(%(accounts)s::text[]) AS account
CROSS JOIN unnest(%(budget)s::text[], %(unit)s::text[], %(window)s::text[], %(limit)s::bigint[],
                  %(enforcement)s::text[], %(alert_thresholds)s::text[])
     AS wanted (budget, unit, "window", limit_amount, enforcement, alert_thresholds)
ON CONFLICT (account, budget) DO UPDATE SET
    limit_amount = excluded.limit_amount, enforcement = excluded.enforcement,
    alert_thresholds = excluded.alert_thresholds, update_time = excluded.update_time, end_time = NULL
WHERE (budget.limit_amount, budget.enforcement, budget.alert_thresholds)
      <> (excluded.limit_amount, excluded.enforcement, excluded.alert_thresholds)
   OR budget.end_time IS NOT NULL;

-- name: too_many_budgets
SELECT account FROM budget WHERE account = ANY(%(accounts)s::text[]) AND end_time IS NULL
GROUP BY account HAVING count(*) > %(most)s ORDER BY account LIMIT 1;

-- name: set_pending
UPDATE account SET plan_pending = tenant.policy_version FROM tenant
WHERE account = ANY(%(accounts)s::text[]) AND tenant.tenant = account.tenant AND account <> 'platform';

-- name: clear_pending
UPDATE account SET plan_pending = 0 WHERE account = %(account)s AND plan_pending = %(pending)s RETURNING account;

-- name: pending_accounts
SELECT account FROM account WHERE plan_pending <> 0 AND account <> ALL(%(set_aside)s::text[])
ORDER BY account LIMIT %(limit)s;

-- name: plan_of_account
SELECT account.plan, plan_pending, coalesce(plan.grants, '[]') AS grants
FROM account LEFT JOIN plan ON plan.plan = account.plan WHERE account = %(account)s;

-- name: granted_by_plans
SELECT * FROM account_grant WHERE account = %(account)s AND starts_with(source, 'plan ')
ORDER BY grant_key;
