-- Named statements of ledger/alerts.py.

-- name: raise_alert
-- Raises an alert unless its like was raised, and makes a delivery for each channel of each rule that is for it. A silence
-- leaves it in the list and tells nobody.
WITH RECURSIVE chain AS (
    SELECT %(account)s AS account
    UNION
    SELECT account.parent FROM account JOIN chain ON account.account = chain.account
), places AS (
    -- Also where the account itself is not known.
    SELECT account FROM chain UNION SELECT %(tenant)s UNION SELECT 'platform'
), quiet AS (
    SELECT EXISTS (
        SELECT FROM alert_silence JOIN places USING (account)
        WHERE %(rule_id)s = '' AND kind IN ('', %(kind)s) AND create_time <= %(raise_time)s AND end_time > %(raise_time)s
    ) AS silenced
), untold AS (
    -- Of two that raise the same, one waits here until the other has committed. The alert goes some day; this stays.
    INSERT INTO alert_case (kind, dedup_key) VALUES (%(kind)s, %(dedup_key)s) ON CONFLICT DO NOTHING RETURNING kind
), raised AS (
    INSERT INTO alert (alert_id, kind, tenant, account, dedup_key, severity, summary, details, raise_time, silenced)
    SELECT %(alert_id)s, kind, %(tenant)s, %(account)s, %(dedup_key)s, %(severity)s, %(summary)s, %(details)s,
           %(raise_time)s, silenced FROM untold, quiet
    RETURNING alert_id, silenced
), told AS (
    INSERT INTO webhook_delivery (delivery_id, tenant, alert_id, rule_id, channel, type, target, due_ms, create_ms)
    SELECT alert_rule.tenant || '/' || gen_random_uuid(), alert_rule.tenant, raised.alert_id, rule_id, channel, type,
           CASE type WHEN 'EMAIL' THEN array_to_string(addresses, ', ') ELSE url END,
           -- Who tries a rule tells it itself, and others only if it dies before.
           %(raise_ms)s + CASE %(rule_id)s WHEN '' THEN 0 ELSE %(head_ms)s END, %(raise_ms)s
    FROM raised, alert_rule JOIN places USING (account) JOIN alert_channel USING (rule_id)
    WHERE CASE %(rule_id)s
        WHEN '' THEN NOT raised.silenced AND enabled AND (kinds = '{}' OR %(kind)s = ANY (kinds))
        -- A test is of one rule, which is named.
        ELSE rule_id = %(rule_id)s
    END
)
SELECT alert_id FROM raised;

-- name: find_crossings
-- Finds what operations have crossed, as the scripts wrote it down, and what was denied since what is charged leaves too
-- little; of each budget, window and percentage the first. What was raised before is left out, which spares a storm of denials
-- all else.
WITH told AS (
    SELECT sequence, create_time, split_part(result, E'\n', 5)::jsonb AS more
    FROM operation
    WHERE tenant = %(tenant)s AND sequence > %(after)s AND sequence <= %(through)s
      AND kind IN ('RESERVE', 'COMMIT', 'EXTEND', 'ADJUST') AND split_part(result, E'\n', 5) <> ''
), crossing AS (
    SELECT item ->> 0 AS ref, (item ->> 1)::int AS percent, (item ->> 2)::bigint AS net, (item ->> 3)::bigint AS limit_amount,
           0 AS requested, sequence, create_time
    FROM told, jsonb_array_elements(more -> 'crossed') AS item
    UNION ALL
    SELECT item ->> 0, 100, (item ->> 3)::bigint - (item ->> 4)::bigint, (item ->> 1)::bigint,
           (item ->> 5)::bigint, sequence, create_time
    FROM told, jsonb_array_elements(more #> '{denied,limiting}') AS item
    -- It would have fitted once, and does not fit even if all that is held is given back.
    WHERE (item ->> 5)::bigint <= (item ->> 1)::bigint
      AND (item ->> 3)::bigint - (item ->> 4)::bigint + (item ->> 5)::bigint > (item ->> 1)::bigint
)
SELECT DISTINCT ON (ref, percent) ref, percent, net, crossing.limit_amount, requested, crossing.create_time, account, budget,
    "window"
FROM crossing JOIN budget ON budget_key = split_part(ref, ':', 1)::bigint
WHERE budget.unit <> 'RESERVATIONS' AND (requested = 0 OR 100 = ANY (alert_thresholds)) AND NOT EXISTS (
    SELECT FROM alert_case
    WHERE kind = 'BUDGET_THRESHOLD' AND dedup_key = split_part(ref, ':', 1) || ':' || split_part(ref, ':', 2) || ':' || percent
)
ORDER BY ref, percent, sequence;

-- name: due_threshold_checks
SELECT budget_key, threshold_check.tenant, change_number, policy_version
FROM threshold_check JOIN tenant USING (tenant) ORDER BY budget_key LIMIT %(limit)s;

-- name: end_threshold_check
-- A change that was made meanwhile is looked after by itself.
DELETE FROM threshold_check WHERE budget_key = %(budget_key)s AND change_number = %(change_number)s;
