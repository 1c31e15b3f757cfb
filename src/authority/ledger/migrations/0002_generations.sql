-- Generations: the row of each, the attempts to make it, what was made, and what may be served again.
-- Submitters write through the authority, workers through workers/store.py; the books are elsewhere.

CREATE TABLE generation (
    generation_id text PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant,
    account text NOT NULL REFERENCES account,
    idempotency_key text NOT NULL,
    -- The request, its defaults filled in: a replay must ask for the same.
    kind text NOT NULL,
    prompt text NOT NULL,
    requested_model text NOT NULL,
    size text NOT NULL,
    quality text NOT NULL,
    count bigint NOT NULL CHECK (count >= 1),
    state text NOT NULL DEFAULT 'QUEUED' CHECK (
        state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'DENIED', 'CANCELLED')
    ),
    -- How often it was put into the queue anew; a part of its job's id.
    requeue_number bigint NOT NULL DEFAULT 0,
    -- Counts the claims by workers. A write with an older fence finds no row: its worker has lost it.
    fence bigint NOT NULL DEFAULT 0,
    lease_owner text,
    lease_until timestamptz,
    -- The claims in a row that ended without a word, as when the worker was killed.
    crash_count bigint NOT NULL DEFAULT 0,
    -- No worker may claim it before.
    next_try_time timestamptz NOT NULL DEFAULT now(),
    attempt_count bigint NOT NULL DEFAULT 0,
    provider text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    downgraded boolean NOT NULL DEFAULT false,
    cached text NOT NULL DEFAULT '' CHECK (cached IN ('', 'exact', 'normalised')),
    -- What its account was charged, over all attempts.
    cost_micros bigint NOT NULL DEFAULT 0 CHECK (cost_micros BETWEEN 0 AND 9007199254740991),
    saved_micros bigint NOT NULL DEFAULT 0 CHECK (saved_micros BETWEEN 0 AND 9007199254740991),
    reservation_id text,
    error_reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT now(),
    start_time timestamptz,
    end_time timestamptz,
    UNIQUE (tenant, idempotency_key),
    CHECK ((end_time IS NULL) = (state IN ('QUEUED', 'RUNNING')))
);
CREATE INDEX generation_by_account ON generation (account, generation_id);
CREATE INDEX generation_open ON generation (generation_id) WHERE state IN ('QUEUED', 'RUNNING');

-- RESERVING ---> DENIED
--           \--> DISPATCHED ---> ANSWERED ---> COMMITTED, or REFUSED if the authority would not have it
--                          \--> FAILED -----> RELEASED
-- Each state is written before the next thing is asked of anybody, so that a rerun knows what may have happened.
-- ANSWERED has to be paid, FAILED has not.
CREATE TABLE generation_attempt (
    generation_id text NOT NULL REFERENCES generation ON DELETE CASCADE,
    attempt bigint NOT NULL CHECK (attempt >= 1),
    state text NOT NULL DEFAULT 'RESERVING' CHECK (
        state IN (
            'RESERVING', 'DENIED', 'DISPATCHED', 'ANSWERED', 'COMMITTED', 'REFUSED', 'FAILED', 'RELEASED'
        )
    ),
    -- [{provider, model, quality, estimate_micros}, ...]: what its Reserve asks for, whoever repeats it.
    options jsonb NOT NULL,
    option_index bigint,
    provider text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    reservation_id text,
    estimate_micros bigint CHECK (estimate_micros BETWEEN 0 AND 9007199254740991),
    -- The provider's name for the call, where it has one by which the outcome can be asked for.
    remote_id text,
    actual_micros bigint CHECK (actual_micros BETWEEN 0 AND 9007199254740991),
    actual_images bigint CHECK (actual_images >= 0),
    charged_micros bigint CHECK (charged_micros BETWEEN 0 AND 9007199254740991),
    -- The outcome is unknown, so it is settled at its estimate; to be reconciled with the provider's bill.
    presumed_spent boolean NOT NULL DEFAULT false,
    error_reason text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    -- When to try anew after an attempt that has come to nothing; null if that is no use.
    retry_time timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    dispatch_time timestamptz,
    settle_time timestamptz,
    PRIMARY KEY (generation_id, attempt)
);
-- At most one attempt of a generation is under way.
CREATE UNIQUE INDEX generation_attempt_open ON generation_attempt (generation_id)
WHERE state IN ('RESERVING', 'DISPATCHED', 'ANSWERED', 'FAILED');
CREATE INDEX generation_attempt_presumed ON generation_attempt (create_time) WHERE presumed_spent;

CREATE TABLE artifact (
    -- `generation_id/position`.
    artifact_id text PRIMARY KEY,
    generation_id text NOT NULL REFERENCES generation ON DELETE CASCADE,
    position bigint NOT NULL CHECK (position >= 0),
    -- Where the bytes are. Those of a cache hit are the original's.
    object_key text NOT NULL,
    media_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    sha256 text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (generation_id, position)
);

-- What may be served again, and to what. The hashes are SHA-256; workers/cache says of what.
CREATE TABLE cache_entry (
    scope_hash bytea NOT NULL,
    exact_hash bytea NOT NULL,
    -- Null where nothing is left of the prompt once it is normalised.
    normalised_hash bytea,
    tenant text NOT NULL REFERENCES tenant,
    -- The original, whose artifacts are served.
    generation_id text NOT NULL REFERENCES generation ON DELETE CASCADE,
    quality_class text NOT NULL,
    -- What the original had cost, which a hit saves.
    cost_micros bigint NOT NULL CHECK (cost_micros BETWEEN 0 AND 9007199254740991),
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (scope_hash, exact_hash)
);
CREATE INDEX cache_entry_by_normalised ON cache_entry (scope_hash, normalised_hash);
CREATE INDEX cache_entry_by_generation ON cache_entry (generation_id);
CREATE INDEX cache_entry_by_expiry ON cache_entry (expire_time);
