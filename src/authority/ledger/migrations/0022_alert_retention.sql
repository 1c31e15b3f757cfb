-- Alerts are kept for a time, and what was given up can be told anew.

-- The cases that were told, for ever: an alert goes once it has been kept for long enough, and what it was about is still not
-- told again. Nobody reads it but who raises.
CREATE TABLE alert_case (
    kind text NOT NULL,
    dedup_key text NOT NULL,
    PRIMARY KEY (kind, dedup_key)
);
INSERT INTO alert_case (kind, dedup_key) SELECT kind, dedup_key FROM alert;
-- The key above stands in its place. No version before this one was ever released: nobody relies on it.
-- squawk-ignore ban-drop-constraint
ALTER TABLE alert DROP CONSTRAINT alert_kind_dedup_key_key;

ALTER TABLE webhook_delivery
-- When somebody last asked for it to be told anew; 0 if nobody has.
ADD COLUMN retry_ms bigint NOT NULL DEFAULT 0,
-- How many of the attempts were made before that.
ADD COLUMN former_attempts bigint NOT NULL DEFAULT 0;
