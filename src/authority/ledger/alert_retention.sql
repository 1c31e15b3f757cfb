-- Named statements of ledger/alert_retention.py.

-- name: delete_deliveries
-- What became of telling old alerts. What is still to be told stays, and so does its alert.
WITH old AS (
    SELECT delivery_id FROM alert JOIN webhook_delivery USING (alert_id)
    WHERE raise_time < %(before)s AND state <> 'PENDING' ORDER BY raise_time LIMIT %(limit)s
)
DELETE FROM webhook_delivery USING old
-- Looked at again, since somebody may have asked for it to be told anew meanwhile.
WHERE webhook_delivery.delivery_id = old.delivery_id AND state <> 'PENDING' RETURNING old.delivery_id;

-- name: delete_alerts
-- Old alerts that no delivery is left of: none is made later. That they were told stays in alert_case.
WITH old AS (
    SELECT alert_id FROM alert
    WHERE raise_time < %(before)s AND NOT EXISTS (
        SELECT FROM webhook_delivery WHERE webhook_delivery.alert_id = alert.alert_id
    )
    ORDER BY raise_time LIMIT %(limit)s
)
DELETE FROM alert USING old WHERE alert.alert_id = old.alert_id RETURNING old.alert_id;
