-- Rates of submissions, what abuse is counted by, and the platform's budgets by escrow leases.

-- A key's own limit; 0 for none.
ALTER TABLE api_key ADD COLUMN submissions_per_minute bigint NOT NULL DEFAULT 0;

-- The root of all accounts, so that it can have budgets. It has no hot state of its own.
INSERT INTO tenant (tenant) VALUES ('platform') ON CONFLICT DO NOTHING;
INSERT INTO account (account, tenant, parent, display_name, time_zone, state, overage_policy, create_time)
VALUES ('platform', 'platform', '', 'The platform', 'UTC', 'ACTIVE', 'AVAILABLE', now()) ON CONFLICT DO NOTHING;

-- What a tenant counts of a budget of the platform, under a key of its own: windows, entries and audits
-- know it as they know a budget of the tenant's.
CREATE TABLE platform_share (
    share_key bigint PRIMARY KEY DEFAULT nextval('budget_budget_key_seq'),
    budget_key bigint NOT NULL REFERENCES budget,
    tenant text NOT NULL REFERENCES tenant,
    UNIQUE (budget_key, tenant)
);
CREATE INDEX platform_share_by_tenant ON platform_share (tenant);

-- How much of a window of the platform's budget a tenant's slot may decide over by itself. The hot store
-- never has more than `amount`: it is raised here first, and lowered there first. Each change has a
-- `version` of its own, and the hot store takes over only what is newer than what it has.
CREATE TABLE platform_lease (
    share_key bigint NOT NULL REFERENCES platform_share,
    window_start_ms bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount BETWEEN 0 AND 9007199254740991),
    version bigint NOT NULL,
    change_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (share_key, window_start_ms)
) WITH (fillfactor = 70);

-- What is refused for its content is looked for every few seconds.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX generation_attempt_refused ON generation_attempt (create_time) WHERE error_reason = 'content_refused';
