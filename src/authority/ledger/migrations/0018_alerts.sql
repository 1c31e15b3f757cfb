-- Alerts: what was noticed, once each; who is told how; and what became of telling them.

-- Percents of the limit at which an alert is raised; none if it is empty.
ALTER TABLE budget ADD COLUMN alert_thresholds smallint[] NOT NULL DEFAULT '{75,80,90,100}';

CREATE TABLE alert_rule (
    -- `acme/<uuid>`: the part before the slash is the tenant, as in all ids of alerts.
    rule_id text PRIMARY KEY,
    tenant text NOT NULL,
    -- With all below it; `platform` is everybody.
    account text NOT NULL,
    display_name text NOT NULL,
    -- Empty for all.
    kinds text[] NOT NULL,
    params jsonb NOT NULL,
    enabled boolean NOT NULL,
    -- No number of a channel is used twice: what is still to be told by one never goes to another's target.
    last_channel smallint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);
CREATE INDEX alert_rule_by_tenant ON alert_rule (tenant, rule_id);
CREATE INDEX alert_rule_by_account ON alert_rule (account);

-- A table of its own, since secrets are read by who delivers alone.
CREATE TABLE alert_channel (
    rule_id text NOT NULL REFERENCES alert_rule ON DELETE CASCADE,
    channel smallint NOT NULL,
    tenant text NOT NULL,
    type text NOT NULL CHECK (type IN ('WEBHOOK', 'EMAIL', 'LOG')),
    url text NOT NULL,
    addresses text[] NOT NULL,
    secret text NOT NULL,
    PRIMARY KEY (rule_id, channel)
);

CREATE TABLE alert (
    alert_id text PRIMARY KEY,
    kind text NOT NULL,
    tenant text NOT NULL,
    account text NOT NULL,
    dedup_key text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'CRITICAL')),
    summary text NOT NULL,
    details jsonb NOT NULL,
    -- By the hot store's clock.
    raise_time timestamptz NOT NULL,
    silenced boolean NOT NULL,
    acknowledge_time timestamptz,
    acknowledge_actor text NOT NULL DEFAULT '',
    acknowledge_reason text NOT NULL DEFAULT '',
    UNIQUE (kind, dedup_key)
);
CREATE INDEX alert_by_time ON alert (raise_time, alert_id);
CREATE INDEX alert_by_tenant ON alert (tenant, raise_time, alert_id);
CREATE INDEX alert_by_account ON alert (account, raise_time, alert_id);

-- One alert by one channel of one rule. Named for the first kind of channel; e-mail and log are here too.
CREATE TABLE webhook_delivery (
    delivery_id text PRIMARY KEY,
    -- The rule's: where a rule of the platform tells, no tenant sees.
    tenant text NOT NULL,
    alert_id text NOT NULL REFERENCES alert ON DELETE CASCADE,
    -- No reference: what was told stays on record when the rule has gone.
    rule_id text NOT NULL,
    channel smallint NOT NULL,
    type text NOT NULL CHECK (type IN ('WEBHOOK', 'EMAIL', 'LOG')),
    target text NOT NULL,
    state text NOT NULL DEFAULT 'PENDING' CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    -- [[time_ms, status, latency_ms, answer, error], ...], the oldest first.
    attempts jsonb NOT NULL DEFAULT '[]',
    -- When to try next. Whoever tries puts it off for as long as a try may take: that is the lease.
    due_ms bigint NOT NULL,
    lease text NOT NULL DEFAULT '',
    create_ms bigint NOT NULL,
    end_ms bigint NOT NULL DEFAULT 0,
    UNIQUE (alert_id, rule_id, channel)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_ms) WHERE state = 'PENDING';
CREATE INDEX webhook_delivery_by_rule ON webhook_delivery (rule_id, create_ms);
CREATE INDEX webhook_delivery_by_tenant ON webhook_delivery (tenant, create_ms);

CREATE TABLE alert_silence (
    silence_id text PRIMARY KEY,
    tenant text NOT NULL,
    account text NOT NULL,
    -- '' for all kinds.
    kind text NOT NULL,
    create_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
);
CREATE INDEX alert_silence_by_account ON alert_silence (account, end_time);
CREATE INDEX alert_silence_by_tenant ON alert_silence (tenant, silence_id);

-- Budgets whose limit or thresholds were changed: what is counted may be past a threshold that no commit crosses any more.
-- Whoever looks after it takes the row out.
CREATE TABLE threshold_check (
    budget_key bigint PRIMARY KEY,
    tenant text NOT NULL,
    change_number bigint NOT NULL DEFAULT 1
);
CREATE FUNCTION note_threshold_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO threshold_check (budget_key, tenant) VALUES (NEW.budget_key, split_part(NEW.account, '/', 1))
    ON CONFLICT (budget_key) DO UPDATE SET change_number = threshold_check.change_number + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER budget_threshold_check AFTER UPDATE OF limit_amount, alert_thresholds, end_time ON budget
FOR EACH ROW WHEN (
    -- What all tenants use of the platform's is summed up again and again anyway.
    NEW.account <> 'platform' AND NEW.end_time IS NULL AND (
        NEW.limit_amount < OLD.limit_amount OR NEW.alert_thresholds <> OLD.alert_thresholds OR OLD.end_time IS NOT NULL
    )
)
EXECUTE FUNCTION note_threshold_check();

-- Row-level security as migration 0013 has it.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['alert_rule', 'alert_channel', 'alert', 'webhook_delivery', 'alert_silence']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format(
            'CREATE POLICY tenant_only ON %I USING (tenant = (SELECT current_setting(''paymaster.tenant'', true)) '
            'OR (SELECT coalesce(current_setting(''paymaster.tenant'', true), '''') = '''' '
            'AND current_user <> ''paymaster_cache''))', table_name
        );
        IF NOT has_cache_role() THEN
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        END IF;
    END LOOP;
END
$$;

-- Everything is in the log until somebody decides otherwise: this rule is changed and removed like any other.
INSERT INTO alert_rule (
    rule_id, tenant, account, display_name, kinds, params, enabled, last_channel, create_time, update_time
)
VALUES ('platform/00000000-0000-7000-8000-000000000001', 'platform', 'platform', 'Everything, in the log', '{}', '{}',
        true, 1, now(), now());
INSERT INTO alert_channel (rule_id, channel, tenant, type, url, addresses, secret)
VALUES ('platform/00000000-0000-7000-8000-000000000001', 1, 'platform', 'LOG', '', '{}', '');
