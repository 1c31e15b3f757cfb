-- Grants, partial commits, extensions, adjustments, and limits on requests.

ALTER TABLE account
    ADD COLUMN per_request_limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN reserves_per_minute bigint NOT NULL DEFAULT 0;

-- What was allowed stays allowed in all that follows; the checks are widened.
-- squawk-ignore ban-drop-constraint
ALTER TABLE budget DROP CONSTRAINT budget_unit_check;
ALTER TABLE budget ADD CONSTRAINT budget_unit_check CHECK (
    unit IN ('USD', 'CREDITS', 'IMAGES', 'VIDEOS', 'MESSAGES', 'RESERVATIONS')
) NOT VALID;

-- squawk-ignore ban-drop-constraint
ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check CHECK (
    kind IN ('RESERVE', 'COMMIT', 'RELEASE', 'REFUND', 'EXPIRE', 'EXTEND', 'ADJUST', 'GRANT', 'VOID')
) NOT VALID;

-- squawk-ignore ban-drop-not-null
ALTER TABLE ledger_entry ALTER COLUMN reservation_id DROP NOT NULL;
-- squawk-ignore ban-drop-constraint
ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_book_check;
ALTER TABLE ledger_entry ADD CONSTRAINT ledger_entry_book_check CHECK (
    book IN ('AVAILABLE', 'RESERVED', 'COMMITTED', 'REFUNDED', 'CHARGED', 'ABSORBED', 'PROVIDER', 'GRANTED', 'ISSUED')
) NOT VALID;

-- What a reservation took from which grant, and the provider's own record of its cost.
ALTER TABLE reservation
    ADD COLUMN grants text NOT NULL DEFAULT '',
    ADD COLUMN receipt text NOT NULL DEFAULT '';
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX reservation_by_account ON reservation (account, create_ms);

-- Windows and grants are counted in one table, so their keys come from one sequence.
CREATE TABLE account_grant (
    grant_id text PRIMARY KEY,
    grant_key bigint NOT NULL UNIQUE DEFAULT nextval('budget_budget_key_seq'),
    tenant text NOT NULL,
    account text NOT NULL REFERENCES account,
    unit text NOT NULL CHECK (unit IN ('USD', 'CREDITS', 'IMAGES', 'VIDEOS', 'MESSAGES')),
    amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
    priority smallint NOT NULL,
    effective_ms bigint NOT NULL,
    -- 0 for never.
    expire_ms bigint NOT NULL,
    -- The window that it is granted anew in; TOTAL for a grant that is not.
    recurrence text NOT NULL CHECK (recurrence IN ('HOUR', 'DAY', 'WEEK', 'MONTH', 'TOTAL')),
    refund_grace_ms bigint NOT NULL,
    source text NOT NULL,
    create_ms bigint NOT NULL,
    void_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX account_grant_by_tenant ON account_grant (tenant, account);
