-- Named statements of ledger/alert_rules.py.

-- name: find_rule
SELECT * FROM alert_rule WHERE rule_id = %(rule_id)s;

-- name: lock_rule
-- Two changes come one after the other.
SELECT * FROM alert_rule WHERE rule_id = %(rule_id)s FOR UPDATE;

-- name: list_rules
SELECT * FROM alert_rule WHERE rule_id > %(after)s AND (%(tenant)s = '' OR tenant = %(tenant)s)
ORDER BY rule_id LIMIT %(limit)s;

-- name: list_channels
SELECT * FROM alert_channel WHERE rule_id = ANY(%(rule_ids)s::text[]) ORDER BY rule_id, channel;

-- name: insert_rule
INSERT INTO alert_rule (rule_id, tenant, account, display_name, kinds, params, enabled, last_channel, create_time,
                        update_time)
VALUES (%(rule_id)s, %(tenant)s, %(account)s, %(display_name)s, %(kinds)s, %(params)s, %(enabled)s, %(last_channel)s,
        %(create_time)s, %(update_time)s);

-- name: update_rule
UPDATE alert_rule SET display_name = %(display_name)s, kinds = %(kinds)s, params = %(params)s, enabled = %(enabled)s,
    last_channel = %(last_channel)s, update_time = %(update_time)s
WHERE rule_id = %(rule_id)s;

-- name: delete_channels
DELETE FROM alert_channel WHERE rule_id = %(rule_id)s AND channel <> ALL(%(channels)s::smallint[]);

-- name: insert_channel
INSERT INTO alert_channel (rule_id, channel, tenant, type, url, addresses, secret)
VALUES (%(rule_id)s, %(channel)s, %(tenant)s, %(type)s, %(url)s, %(addresses)s, %(secret)s) ON CONFLICT DO NOTHING;

-- name: delete_rule
DELETE FROM alert_rule WHERE rule_id = %(rule_id)s;

-- name: give_up
-- What has still to be told by channels that are no more.
UPDATE webhook_delivery SET state = 'FAILED', end_ms = %(now_ms)s
WHERE rule_id = %(rule_id)s AND channel <> ALL(%(channels)s::smallint[]) AND state = 'PENDING' RETURNING delivery_id;

-- name: find_alert
SELECT * FROM alert WHERE alert_id = %(alert_id)s;

-- name: list_alerts
WITH RECURSIVE below AS (
    SELECT %(account)s AS account
    UNION
    SELECT account.account FROM account JOIN below ON account.parent = below.account
)
SELECT alert.* FROM alert
WHERE (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(account)s IN ('', 'platform') OR account IN (SELECT account FROM below))
  AND (%(kinds)s::text[] = '{}' OR kind = ANY (%(kinds)s::text[]))
  AND (NOT %(unacknowledged)s OR acknowledge_time IS NULL)
  AND (%(start_time)s::timestamptz IS NULL OR raise_time >= %(start_time)s)
  AND (%(end_time)s::timestamptz IS NULL OR raise_time < %(end_time)s)
  AND (%(before)s::timestamptz IS NULL OR (raise_time, alert_id) < (%(before)s, %(before_id)s))
ORDER BY raise_time DESC, alert_id DESC LIMIT %(limit)s;

-- name: acknowledge
UPDATE alert SET acknowledge_time = %(time)s, acknowledge_actor = %(actor)s, acknowledge_reason = %(reason)s
WHERE alert_id = %(alert_id)s AND acknowledge_time IS NULL RETURNING *;

-- name: insert_silence
INSERT INTO alert_silence (silence_id, tenant, account, kind, create_time, end_time, actor, reason)
VALUES (%(silence_id)s, %(tenant)s, %(account)s, %(kind)s, %(create_time)s, %(end_time)s, %(actor)s, %(reason)s);

-- name: find_silence
SELECT * FROM alert_silence WHERE silence_id = %(silence_id)s FOR UPDATE;

-- name: end_silence
UPDATE alert_silence SET end_time = %(end_time)s WHERE silence_id = %(silence_id)s;

-- name: list_silences
SELECT * FROM alert_silence
WHERE silence_id > %(after)s AND (%(tenant)s = '' OR tenant = %(tenant)s) AND end_time > %(time)s
ORDER BY silence_id LIMIT %(limit)s;

-- name: list_deliveries
SELECT * FROM webhook_delivery
WHERE (%(tenant)s = '' OR tenant = %(tenant)s) AND (%(alert_id)s = '' OR alert_id = %(alert_id)s)
  AND (%(rule_id)s = '' OR rule_id = %(rule_id)s) AND (%(state)s = '' OR state = %(state)s)
  AND (%(before_ms)s::bigint IS NULL OR (create_ms, delivery_id) < (%(before_ms)s, %(before_id)s))
ORDER BY create_ms DESC, delivery_id DESC LIMIT %(limit)s;

-- name: lock_delivery
-- Of two who ask for the same, the second sees what the first has done. No account: the rule has no such channel any more.
SELECT webhook_delivery.*, alert_rule.account
FROM webhook_delivery
LEFT JOIN (alert_channel JOIN alert_rule USING (rule_id)) USING (rule_id, channel)
WHERE delivery_id = %(delivery_id)s FOR UPDATE OF webhook_delivery;

-- name: retry_delivery
-- Of what was tried before, as much is kept as one day of tries makes.
WITH kept AS (
    SELECT delivery_id, jsonb_path_query_array(attempts, '$[last - 39 to last]') AS attempts
    FROM webhook_delivery WHERE delivery_id = %(delivery_id)s
)
UPDATE webhook_delivery SET state = 'PENDING', retry_ms = %(now_ms)s, due_ms = %(now_ms)s, end_ms = 0,
    attempts = kept.attempts, former_attempts = jsonb_array_length(kept.attempts)
FROM kept WHERE webhook_delivery.delivery_id = kept.delivery_id RETURNING webhook_delivery.*;
