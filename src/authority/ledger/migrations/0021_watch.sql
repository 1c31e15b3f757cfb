-- What looks for alerts by the time that passes: when each last looked, and what it looks through.

-- When a detector last looked, at everything or at one subject, and what it has found. Times are the hot store's.
CREATE TABLE watch_run (
    detector text NOT NULL,
    -- Such as a tenant; '' for everything.
    subject text NOT NULL,
    run_ms bigint NOT NULL,
    duration_ms bigint NOT NULL,
    -- How many cases there were, also those that had been raised before.
    found bigint NOT NULL,
    PRIMARY KEY (detector, subject)
);

-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX account_grant_expiring ON account_grant (expire_ms) WHERE expire_ms > 0 AND void_ms = 0;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX reservation_held_by_account ON reservation (account, create_ms) WHERE state = 'HELD';
