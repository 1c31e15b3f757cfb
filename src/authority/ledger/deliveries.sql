-- Named statements of ledger/deliveries.py.

-- name: claim_deliveries
-- Takes deliveries that are due, and puts them off for as long as a try may take: whoever dies in it leaves them to the others
-- then. Of one channel few are under way at once, and of one tenant no more than a part, so that receivers that hang keep
-- nobody else waiting. The platform's tell of all tenants.
WITH open AS (
    SELECT delivery_id, tenant, due_ms, due_ms <= %(now_ms)s AS due,
           row_number() OVER (PARTITION BY rule_id, channel ORDER BY (lease <> '' AND due_ms > %(now_ms)s) DESC, due_ms) AS place
    FROM webhook_delivery
    WHERE state = 'PENDING' AND (due_ms <= %(now_ms)s OR lease <> '') AND %(alert_id)s IN ('', alert_id)
), fair AS (
    SELECT delivery_id, tenant, due_ms, due, row_number() OVER (PARTITION BY tenant ORDER BY due, due_ms) AS place
    FROM open WHERE place <= %(of_channel)s
), chosen AS (
    SELECT delivery_id FROM fair WHERE due AND (place <= %(of_tenant)s OR tenant = 'platform')
    ORDER BY due_ms LIMIT %(limit)s
), claimed AS (
    UPDATE webhook_delivery SET due_ms = %(until_ms)s, lease = %(lease)s
    FROM chosen
    -- Looked at again, since another process may have taken it meanwhile.
    WHERE webhook_delivery.delivery_id = chosen.delivery_id AND state = 'PENDING' AND due_ms <= %(now_ms)s
    RETURNING webhook_delivery.*
)
SELECT claimed.delivery_id, claimed.rule_id, claimed.channel, claimed.type, claimed.target,
       greatest(claimed.create_ms, retry_ms) AS begin_ms, jsonb_array_length(attempts) - former_attempts AS attempt_count, url, addresses, coalesce(secret, '') AS secret,
       alert_channel.rule_id IS NULL AS gone, alert.*
FROM claimed JOIN alert USING (alert_id)
LEFT JOIN alert_channel ON alert_channel.rule_id = claimed.rule_id AND alert_channel.channel = claimed.channel;

-- name: end_attempt
-- Writes down a try. What was delivered is delivered, whoever has the lease meanwhile; what was not is for the holder to say.
UPDATE webhook_delivery SET attempts = attempts || %(attempt)s::jsonb, state = %(state)s, due_ms = %(due_ms)s, lease = '',
    end_ms = %(end_ms)s
WHERE delivery_id = %(delivery_id)s AND state = 'PENDING' AND (lease = %(lease)s OR %(state)s = 'DELIVERED');
