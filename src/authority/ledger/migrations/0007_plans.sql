-- Plans: named sets of budgets, grants and limits that accounts get by their name.
CREATE TABLE plan (
    plan text PRIMARY KEY,
    -- [{unit, window, limit, enforcement}, ...]
    budgets jsonb NOT NULL,
    -- [{unit, amount, priority, recurrence}, ...]
    grants jsonb NOT NULL,
    per_request_limits jsonb NOT NULL,
    reserves_per_minute bigint NOT NULL,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);

ALTER TABLE account
    ADD COLUMN plan text NOT NULL DEFAULT '',
    -- The policy version of the change whose grants are still to be made or voided; 0 if none are.
    ADD COLUMN plan_pending bigint NOT NULL DEFAULT 0;

-- An ended budget binds nobody; what is counted on it stays.
ALTER TABLE budget ADD COLUMN end_time timestamptz;

-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX account_by_plan ON account (plan, account) WHERE plan <> '';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX account_plan_pending ON account (account) WHERE plan_pending <> 0;
