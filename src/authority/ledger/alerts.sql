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
        WHERE kind IN ('', %(kind)s) AND create_time <= %(raise_time)s AND end_time > %(raise_time)s
    ) AS silenced
), raised AS (
    INSERT INTO alert (alert_id, kind, tenant, account, dedup_key, severity, summary, details, raise_time, silenced)
    SELECT %(alert_id)s, %(kind)s, %(tenant)s, %(account)s, %(dedup_key)s, %(severity)s, %(summary)s, %(details)s,
           %(raise_time)s, silenced FROM quiet
    ON CONFLICT (kind, dedup_key) DO NOTHING RETURNING alert_id, silenced
), told AS (
    INSERT INTO webhook_delivery (delivery_id, tenant, alert_id, rule_id, channel, type, target, due_ms, create_ms)
    SELECT %(tenant)s || '/' || gen_random_uuid(), %(tenant)s, raised.alert_id, rule_id, channel, type,
           CASE type WHEN 'EMAIL' THEN array_to_string(addresses, ', ') ELSE url END, %(raise_ms)s, %(raise_ms)s
    FROM raised, alert_rule JOIN places USING (account) JOIN alert_channel USING (rule_id)
    WHERE NOT raised.silenced AND enabled AND (kinds = '{}' OR %(kind)s = ANY (kinds))
)
SELECT alert_id FROM raised;
