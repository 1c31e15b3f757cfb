-- Named statements of ledger/changes.py.

-- name: insert_changes
INSERT INTO admin_audit (tenant, account, method, resource_type, resource, actor, reason, before, after,
                         change_time)
SELECT * FROM unnest(
    %(tenant)s::text[], %(account)s::text[], %(method)s::text[], %(resource_type)s::text[],
    %(resource)s::text[], %(actor)s::text[], %(reason)s::text[], %(before)s::jsonb[], %(after)s::jsonb[],
    %(change_time)s::timestamptz[]);

-- name: void_grants
-- Voids grants and records it, but for those that were voided before: these stay as they are.
WITH given AS (
    SELECT * FROM unnest(
        %(void_ms)s::bigint[], %(tenant)s::text[], %(account)s::text[], %(method)s::text[],
        %(resource_type)s::text[], %(resource)s::text[], %(actor)s::text[], %(reason)s::text[],
        %(before)s::jsonb[], %(after)s::jsonb[], %(change_time)s::timestamptz[])
    AS row (void_ms, tenant, account, method, resource_type, resource, actor, reason, before, after,
            change_time)
), voided AS (
    UPDATE account_grant SET void_ms = given.void_ms FROM given
    WHERE account_grant.grant_id = given.resource AND account_grant.void_ms = 0
    RETURNING given.*
)
INSERT INTO admin_audit (tenant, account, method, resource_type, resource, actor, reason, before, after,
                         change_time)
SELECT tenant, account, method, resource_type, resource, actor, reason, before, after, change_time
FROM voided;

-- name: list_changes
SELECT change_number, tenant, account, method, resource_type, resource, actor, reason, before, after,
       change_time
FROM admin_audit
WHERE (%(before)s = 0 OR change_number < %(before)s) AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(account)s = '' OR account = %(account)s) AND (%(with_api_keys)s OR resource_type <> 'api_key')
ORDER BY change_number DESC LIMIT %(limit)s;
