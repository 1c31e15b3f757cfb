-- The books: who may spend, what was decided, and the entries that every number can be recomputed from.

-- One row: which run of the hot store decides. A store that was restarted, restored or replaced
-- gets a new epoch, and what was decided in an older one can no longer be acknowledged.
CREATE TABLE hot_store (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch bigint NOT NULL,
    run_id text NOT NULL,
    change_time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO hot_store (epoch, run_id) VALUES (0, '');

CREATE TABLE tenant (
    tenant text PRIMARY KEY,
    policy_version bigint NOT NULL DEFAULT 1,
    policy_time timestamptz NOT NULL DEFAULT now(),
    -- The last epoch in which the tenant's hot state was opened.
    loaded_epoch bigint NOT NULL DEFAULT 0
);

CREATE TABLE account (
    account text PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant,
    parent text NOT NULL,
    display_name text NOT NULL,
    time_zone text NOT NULL,
    state text NOT NULL CHECK (state IN ('ACTIVE', 'FROZEN', 'CLOSED')),
    overage_policy text NOT NULL CHECK (overage_policy IN ('CAP', 'AVAILABLE', 'DEBT')),
    create_time timestamptz NOT NULL
);
CREATE INDEX account_by_tenant ON account (tenant, account);

CREATE TABLE budget (
    budget_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL REFERENCES account,
    budget text NOT NULL,
    unit text NOT NULL CHECK (unit IN ('USD', 'CREDITS', 'IMAGES', 'VIDEOS', 'MESSAGES')),
    "window" text NOT NULL CHECK ("window" IN ('HOUR', 'DAY', 'WEEK', 'MONTH', 'TOTAL')),
    limit_amount bigint NOT NULL CHECK (limit_amount BETWEEN 0 AND 9007199254740991),
    enforcement text NOT NULL CHECK (enforcement IN ('BLOCK', 'DOWNGRADE', 'NOTIFY')),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    UNIQUE (account, budget)
);

-- Every decision, with the request and the answer as they were, for ever: replays are answered from it.
CREATE TABLE operation (
    operation_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    sequence bigint NOT NULL,
    epoch bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('RESERVE', 'COMMIT', 'RELEASE', 'REFUND', 'EXPIRE')),
    outcome text NOT NULL CHECK (outcome IN ('DONE', 'DENIED')),
    idempotency_key text,
    account text NOT NULL,
    reservation_id text,
    request text NOT NULL,
    result text NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE UNIQUE INDEX operation_by_key ON operation (tenant, idempotency_key);
CREATE INDEX operation_by_sequence ON operation (tenant, sequence);

-- Immutable. `budget_key` and `window_start_ms` are set in a window's books and null in an account's.
CREATE TABLE ledger_entry (
    operation_id uuid NOT NULL,
    line smallint NOT NULL,
    tenant text NOT NULL,
    sequence bigint NOT NULL,
    account text NOT NULL,
    reservation_id text NOT NULL,
    book text NOT NULL CHECK (
        book IN ('AVAILABLE', 'RESERVED', 'COMMITTED', 'REFUNDED', 'CHARGED', 'ABSORBED', 'PROVIDER')
    ),
    budget_key bigint,
    window_start_ms bigint,
    unit text NOT NULL,
    amount bigint NOT NULL CHECK (amount <> 0),
    create_time timestamptz NOT NULL,
    CHECK ((budget_key IS NULL) = (window_start_ms IS NULL))
) PARTITION BY RANGE (create_time);
CREATE INDEX ledger_entry_by_tenant ON ledger_entry (tenant, sequence);
CREATE INDEX ledger_entry_by_operation ON ledger_entry (operation_id);
CREATE TABLE ledger_entry_other PARTITION OF ledger_entry DEFAULT;

-- Makes the partition of the month that holds `moment`, unless it exists or rows of that month
-- already lie in the partition for all others.
CREATE FUNCTION ensure_ledger_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', moment, 'UTC');
    next_day timestamptz := date_trunc('month', first_day + interval '32 days', 'UTC');
    partition_name text := 'ledger_entry_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL OR EXISTS (
        SELECT 1 FROM ledger_entry_other WHERE create_time >= first_day AND create_time < next_day
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF ledger_entry FOR VALUES FROM (%L) TO (%L)',
        partition_name, first_day, next_day
    );
END $$;

CREATE TABLE reservation (
    reservation_id text PRIMARY KEY,
    tenant text NOT NULL,
    account text NOT NULL,
    state text NOT NULL CHECK (state IN ('HELD', 'COMMITTED', 'RELEASED', 'EXPIRED')),
    -- The sequence of the operation that last changed it: an older one never overwrites a newer.
    sequence bigint NOT NULL,
    legs text NOT NULL,
    windows text NOT NULL,
    option_index smallint NOT NULL,
    late boolean NOT NULL,
    labels jsonb NOT NULL,
    commit_key text NOT NULL,
    create_ms bigint NOT NULL,
    expire_ms bigint NOT NULL,
    settle_ms bigint NOT NULL
);
CREATE INDEX reservation_due ON reservation (expire_ms) WHERE state = 'HELD';
CREATE INDEX reservation_by_tenant ON reservation (tenant, state);

-- The sums of a window's books, kept in the same transaction as the entries.
CREATE TABLE window_total (
    budget_key bigint NOT NULL,
    window_start_ms bigint NOT NULL,
    unit text NOT NULL,
    tenant text NOT NULL,
    reserved bigint NOT NULL CHECK (reserved <= 9007199254740991),
    committed bigint NOT NULL CHECK (committed BETWEEN 0 AND 9007199254740991),
    refunded bigint NOT NULL CHECK (refunded BETWEEN 0 AND 9007199254740991),
    PRIMARY KEY (budget_key, window_start_ms)
);
CREATE INDEX window_total_by_tenant ON window_total (tenant);
