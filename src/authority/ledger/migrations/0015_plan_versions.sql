-- Plans have a tier, a rate of submissions and a policy against abuse; each of their versions stays readable.
-- Accounts may have an end, and be frozen for a time. How the last audits ended is kept.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file require-concurrent-index-creation, constraint-missing-not-valid

ALTER TABLE plan
    -- A quality class of models, the highest that is made; '' for no limit.
    ADD COLUMN tier text NOT NULL DEFAULT '' CHECK (tier IN ('', 'premium', 'standard')),
    -- 0 for no limit.
    ADD COLUMN submissions_per_minute bigint NOT NULL DEFAULT 10,
    -- {refusals, bursts, within_ms, freeze_ms}; {} where nothing is watched.
    ADD COLUMN abuse jsonb NOT NULL DEFAULT '{}';

-- Plans as they were, one row for each of their versions; the present one is here too.
CREATE TABLE plan_version (
    plan text NOT NULL REFERENCES plan,
    version bigint NOT NULL,
    budgets jsonb NOT NULL,
    grants jsonb NOT NULL,
    per_request_limits jsonb NOT NULL,
    reserves_per_minute bigint NOT NULL,
    tier text NOT NULL,
    submissions_per_minute bigint NOT NULL,
    abuse jsonb NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (plan, version)
);

-- Versions from before this table are in the record of changes.
INSERT INTO plan_version
SELECT after ->> 'plan', (after ->> 'version')::bigint, after -> 'budgets', after -> 'grants',
       (SELECT coalesce(jsonb_object_agg(leg ->> 'unit', leg -> 'amount'), '{}')
        FROM jsonb_array_elements(after -> 'per_request_limits') AS leg),
       (after ->> 'reserves_per_minute')::bigint, '', 10, '{}', (after ->> 'create_time')::timestamptz,
       (after ->> 'update_time')::timestamptz
FROM admin_audit WHERE resource_type = 'plan' AND resource IN (SELECT plan FROM plan);

ALTER TABLE account
    -- From when on it is closed, and until when it is frozen, by the hot store's clock; 0 for neither.
    ADD COLUMN end_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN freeze_end_ms bigint NOT NULL DEFAULT 0,
    -- 0 for its plan's number.
    ADD COLUMN submissions_per_minute bigint NOT NULL DEFAULT 0;

CREATE INDEX account_by_end ON account (end_ms) WHERE end_ms <> 0 AND state <> 'CLOSED';
CREATE INDEX account_by_freeze_end ON account (freeze_end_ms) WHERE freeze_end_ms <> 0;

-- How the last audit of each tenant ended, for who asks how the books are.
CREATE TABLE audit_run (
    -- '' for what is of no tenant, such as the sums of all.
    tenant text PRIMARY KEY,
    audit_ms bigint NOT NULL,
    difference_count bigint NOT NULL
);
