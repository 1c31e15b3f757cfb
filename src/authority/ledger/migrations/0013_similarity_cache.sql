-- The similarity cache: what may be served again, what was, what people said of it, and each account's policy.
-- No version before this one was ever released: there is no busy table to block, and no entry worth keeping.
-- squawk-ignore-file ban-drop-table, ban-drop-constraint, constraint-missing-not-valid, require-concurrent-index-creation
-- squawk-ignore-file adding-foreign-key-constraint

ALTER TABLE generation
-- How its sender would have the cache used: '' as the account's policy says, and the words of similarity/stages.py.
ADD COLUMN reuse text NOT NULL DEFAULT '' CHECK (
    reuse IN ('', 'off', 'refresh', 'exact', 'normalised', 'guarded', 'suggest')
),
-- The entry whose pictures its sender would rather have than new ones.
ADD COLUMN accept_entry_id text,
-- {field: [value, ...]}: what is compared in place of the prompt, where the account's policy says how.
ADD COLUMN context jsonb,
-- Whether the cache was searched for it; and how, as workers/cache/report.py writes it:
-- {"tried": [STAGE, ...], "skipped": {STAGE: REASON, ...}, "nearest": {"entry_id", "score_ppm", "objection"},
--  "held_back": {"entry_id", "stage", "score_ppm", "reason": "gate" or "sample"}}; what there is not is left out.
ADD COLUMN looked_up boolean NOT NULL DEFAULT false,
ADD COLUMN lookup jsonb,
DROP CONSTRAINT generation_cached_check,
ADD CONSTRAINT generation_cached_check CHECK (
    cached IN (
        '', 'exact', 'normalised', 'signature', 'guarded', 'structured', 'chat', 'joined', 'accepted'
    )
);

DROP TABLE cache_entry;

-- What may be served again, and to what. The hashes are SHA-256; src/similarity says of what.
-- The prompt is that of the generation.
CREATE TABLE cache_entry (
    -- `tenant/uuid7`. An entry that is filled anew keeps its id, and so what was said against it.
    entry_id text PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenant,
    scope_hash bytea NOT NULL,
    exact_hash bytea NOT NULL,
    -- Null where nothing is left of the prompt, and where the kind of request does not go so deep.
    normalised_hash bytea,
    signature_hash bytea,
    structured_hash bytea,
    context jsonb,
    -- Of the normalised prompt; below it becomes a halfvec, where the server has vectors, and is null elsewhere.
    embedding text,
    -- What made the embedding; '' where it has none.
    embedder text NOT NULL DEFAULT '',
    -- The original, whose artifacts are served.
    generation_id text NOT NULL REFERENCES generation ON DELETE CASCADE,
    kind text NOT NULL,
    model text NOT NULL,
    quality_class text NOT NULL,
    -- What the original had cost, which a hit saves.
    cost_micros bigint NOT NULL CHECK (cost_micros BETWEEN 0 AND 9007199254740991),
    -- EXACT_ONLY after two reports: it serves its own prompt alone, to the letter.
    status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'EXACT_ONLY')),
    strike_count bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL DEFAULT now(),
    -- Written at most once an hour: who is not the least recently used need not be known to the second.
    last_use_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    UNIQUE (scope_hash, exact_hash)
);
CREATE INDEX cache_entry_by_normalised ON cache_entry (scope_hash, normalised_hash) WHERE normalised_hash IS NOT NULL;
CREATE INDEX cache_entry_by_signature ON cache_entry (scope_hash, signature_hash) WHERE signature_hash IS NOT NULL;
CREATE INDEX cache_entry_by_structured ON cache_entry (scope_hash, structured_hash) WHERE structured_hash IS NOT NULL;
CREATE INDEX cache_entry_by_use ON cache_entry (scope_hash, last_use_time);
CREATE INDEX cache_entry_by_generation ON cache_entry (generation_id);
CREATE INDEX cache_entry_by_expiry ON cache_entry (expire_time);
CREATE INDEX cache_entry_by_tenant ON cache_entry (tenant, entry_id);

-- What was served in place of being made; one row for each generation, for ever.
CREATE TABLE cache_hit (
    -- The one that was served.
    generation_id text PRIMARY KEY REFERENCES generation ON DELETE CASCADE,
    tenant text NOT NULL,
    account text NOT NULL,
    -- Null for one that joined another in flight.
    entry_id text,
    source_generation_id text NOT NULL,
    stage text NOT NULL CHECK (
        stage IN ('exact', 'normalised', 'signature', 'guarded', 'structured', 'chat', 'joined', 'accepted')
    ),
    -- Millionths; null for stages that do not measure.
    score_ppm bigint CHECK (score_ppm BETWEEN 0 AND 1000000),
    saved_micros bigint NOT NULL CHECK (saved_micros BETWEEN 0 AND 9007199254740991),
    create_time timestamptz NOT NULL DEFAULT now(),
    -- When the books had it.
    booked_time timestamptz,
    verdict text CHECK (verdict IN ('MATCH', 'MISMATCH')),
    verdict_time timestamptz,
    -- When the books had what was saved taken back, which a mismatch did not save.
    reversed_time timestamptz
);
CREATE INDEX cache_hit_unbooked ON cache_hit (create_time) WHERE booked_time IS NULL;
CREATE INDEX cache_hit_unreversed ON cache_hit (verdict_time) WHERE verdict = 'MISMATCH' AND reversed_time IS NULL;
CREATE INDEX cache_hit_by_tenant ON cache_hit (tenant, create_time);
CREATE INDEX cache_hit_by_account ON cache_hit (account, create_time);
CREATE INDEX cache_hit_by_entry ON cache_hit (entry_id) WHERE entry_id IS NOT NULL;

-- Pairs that somebody has said are no match: they are never served again.
CREATE TABLE cache_mismatch (
    entry_id text NOT NULL REFERENCES cache_entry ON DELETE CASCADE,
    -- Of the request that was served.
    exact_hash bytea NOT NULL,
    tenant text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entry_id, exact_hash)
);
CREATE INDEX cache_mismatch_by_request ON cache_mismatch (exact_hash);

-- What was seen of pairs that a stage would have served, by their score: similarity/gate.py decides by it.
CREATE TABLE cache_bin (
    tenant text NOT NULL REFERENCES tenant,
    stage text NOT NULL,
    bin smallint NOT NULL,
    matches bigint NOT NULL DEFAULT 0,
    mismatches bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, stage, bin)
);

-- Hits that were generated anyway, to see whether they are the same.
CREATE TABLE cache_sample (
    generation_id text PRIMARY KEY REFERENCES generation ON DELETE CASCADE,
    tenant text NOT NULL,
    account text NOT NULL,
    entry_id text NOT NULL,
    source_generation_id text NOT NULL,
    stage text NOT NULL,
    score_ppm bigint CHECK (score_ppm BETWEEN 0 AND 1000000),
    verdict text CHECK (verdict IN ('MATCH', 'MISMATCH')),
    create_time timestamptz NOT NULL DEFAULT now(),
    verdict_time timestamptz
);
CREATE INDEX cache_sample_by_tenant ON cache_sample (tenant, create_time);

-- The nearest account above that has one counts.
CREATE TABLE cache_policy (
    account text PRIMARY KEY REFERENCES account,
    tenant text NOT NULL REFERENCES tenant,
    -- As similarity/stages.py writes it.
    policy jsonb NOT NULL,
    update_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cache_policy_by_tenant ON cache_policy (tenant);

-- squawk-ignore ban-drop-constraint
ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check CHECK (
    kind IN (
        'RESERVE', 'COMMIT', 'RELEASE', 'REFUND', 'EXPIRE', 'EXTEND', 'ADJUST', 'GRANT', 'VOID', 'CACHE_HIT',
        'CACHE_REVERSAL'
    )
) NOT VALID;

-- A server without vectors does everything but search for near prompts: the other stages need none.
-- Returns whether there are vectors now. Workers call it when they start, in case that the server has them since.
CREATE FUNCTION ensure_cache_embedding() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regtype('halfvec') IS NULL THEN
        RETURN false;
    END IF;
    -- Workers that start together take turns.
    PERFORM pg_advisory_xact_lock(hashtextextended('paymaster.cache_embedding', 0));
    IF NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'cache_entry'::regclass AND attname = 'embedding' AND atttypid = to_regtype('halfvec')
    ) THEN
        ALTER TABLE cache_entry ALTER COLUMN embedding TYPE halfvec USING embedding::halfvec;
    END IF;
    RETURN true;
END
$$;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN NULL;
END
$$;
DO $$
BEGIN
    IF NOT ensure_cache_embedding() THEN
        RAISE WARNING 'The extension vector (pgvector 0.7 or newer) is missing, so near prompts are not searched for.'
        USING HINT = 'Install pgvector on the server, run CREATE EXTENSION vector as a superuser in this database, '
                     'and restart the workers.';
    END IF;
END
$$;

-- Row-level security by tenant, besides the equality that every statement has. Who sets paymaster.tenant sees that
-- tenant's rows alone; who does not sees all, as upkeep must, unless it is the role that look-ups take on.
-- Superusers pass it, and so do owners: they need that role. A user who can't have it is held to the rows by FORCE.
DO $$
BEGIN
    CREATE ROLE paymaster_cache NOLOGIN;
EXCEPTION
    -- It is the whole server's, and may be there.
    WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
END
$$;
-- Says whether the current user may take the role of look-ups on.
CREATE FUNCTION has_cache_role() RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT EXISTS (
    SELECT FROM pg_roles
    WHERE rolname = 'paymaster_cache' AND CASE
        WHEN current_setting('server_version_num')::int >= 160000 THEN pg_has_role(oid, 'SET')
        ELSE pg_has_role(oid, 'MEMBER')
    END
)
$$;

DO $$
BEGIN
    IF NOT has_cache_role() THEN
        EXECUTE format('GRANT paymaster_cache TO %I', current_user);
    END IF;
EXCEPTION
    WHEN undefined_object OR insufficient_privilege THEN NULL;
END
$$;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'cache_entry', 'cache_hit', 'cache_mismatch', 'cache_bin', 'cache_sample', 'cache_policy'
    ]
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        -- Each subquery is run once for a statement, not once for a row.
        EXECUTE format(
            'CREATE POLICY tenant_only ON %I USING (tenant = (SELECT current_setting(''paymaster.tenant'', true)) '
            'OR (SELECT coalesce(current_setting(''paymaster.tenant'', true), '''') = '''' '
            'AND current_user <> ''paymaster_cache''))', table_name
        );
        IF has_cache_role() THEN
            EXECUTE format('GRANT SELECT ON %I TO paymaster_cache', table_name);
        ELSE
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        END IF;
    END LOOP;
    IF has_cache_role() THEN
        GRANT SELECT (generation_id, tenant, account, kind, prompt, provider, model) ON generation TO paymaster_cache;
        GRANT SELECT ON artifact TO paymaster_cache;
    END IF;
END
$$;
