-- The usage log: what came of each piece of work, with what it cost; and sums of it, so that nobody has to scan it.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file require-concurrent-index-creation, adding-required-field

-- One row for each operation that says something of use. Made from `operation` and what an attempt knows of itself, by
-- ledger/usage_projection.sql; nothing is in it that can't be made again. Amounts are in micros of USD, or of a credit.
CREATE TABLE usage_event (
    tenant text NOT NULL,
    -- The operation's; a tenant's events are in the order of their times too.
    event_time timestamptz NOT NULL,
    sequence bigint NOT NULL,
    account text NOT NULL,
    -- The label `user` of the reservation; '' without one.
    user_name text NOT NULL DEFAULT '',
    -- SUCCEEDED, or FAILED where it was paid for and brought nothing; PART of one that goes on.
    outcome text NOT NULL CHECK (
        outcome IN (
            'SUCCEEDED', 'FAILED', 'PART', 'DENIED', 'RELEASED', 'EXPIRED', 'REFUNDED', 'ADJUSTED', 'HIT', 'REVERSED'
        )
    ),
    reservation_id text,
    generation_id text,
    attempt bigint,
    kind text NOT NULL DEFAULT '',
    provider text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    size text NOT NULL DEFAULT '',
    quality text NOT NULL DEFAULT '',
    images bigint NOT NULL DEFAULT 0,
    videos bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    actual_micros bigint NOT NULL DEFAULT 0,
    charged_micros bigint NOT NULL DEFAULT 0,
    -- The rest of the actual cost, which the platform carries; below zero where an adjustment takes it off.
    absorbed_micros bigint NOT NULL DEFAULT 0,
    refunded_micros bigint NOT NULL DEFAULT 0,
    -- What the user paid in credits, less what was refunded; and what that is worth by what the grants were paid for.
    credits_micros bigint NOT NULL DEFAULT 0,
    revenue_micros bigint NOT NULL DEFAULT 0,
    -- What a hit has saved; below zero for a reversal.
    saved_micros bigint NOT NULL DEFAULT 0,
    -- From the Reserve to its settlement, or from the submission of a hit to its end. Null where that says nothing.
    duration_ms bigint CHECK (duration_ms >= 0),
    -- The stage of the cache.
    cached text NOT NULL DEFAULT '',
    score_ppm bigint,
    entry_id text,
    downgraded boolean NOT NULL DEFAULT false,
    downgrade_reason text NOT NULL DEFAULT '',
    -- Made elsewhere than at first, whose provider had failed.
    fallback boolean NOT NULL DEFAULT false,
    presumed_spent boolean NOT NULL DEFAULT false,
    late boolean NOT NULL DEFAULT false,
    error_class text NOT NULL DEFAULT '',
    -- Of a denial.
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, event_time, sequence)
) PARTITION BY RANGE (event_time);
CREATE INDEX usage_event_by_account ON usage_event (account, event_time);
CREATE INDEX usage_event_by_time ON usage_event (event_time);
-- For what the cache has served most: nothing else is read of the table.
CREATE INDEX usage_event_of_cache ON usage_event (tenant, event_time) INCLUDE (account, entry_id, outcome, saved_micros)
WHERE entry_id IS NOT NULL;
CREATE TABLE usage_event_other PARTITION OF usage_event DEFAULT;

-- Makes the partition of the month that holds `moment`, unless it exists or rows of that month already lie in the
-- partition for all others.
CREATE FUNCTION ensure_usage_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', moment, 'UTC');
    next_day timestamptz := date_trunc('month', first_day + interval '32 days', 'UTC');
    partition_name text := 'usage_event_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL OR EXISTS (
        SELECT 1 FROM usage_event_other WHERE event_time >= first_day AND event_time < next_day
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF usage_event FOR VALUES FROM (%L) TO (%L)', partition_name, first_day, next_day
    );
END $$;

-- Drops the partitions of months that ended before `moment`, and returns their names. What is in the partition for all
-- others is deleted. The sums stay.
CREATE FUNCTION drop_usage_months(moment timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    first_kept timestamptz := date_trunc('month', moment, 'UTC');
    dropped text;
BEGIN
    FOR dropped IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'usage_event'::regclass
            AND relname ~ '^usage_event_[0-9]{4}_[0-9]{2}$'
            AND relname < 'usage_event_' || to_char(first_kept AT TIME ZONE 'UTC', 'YYYY_MM')
        ORDER BY relname
    LOOP
        EXECUTE format('DROP TABLE %I', dropped);
        RETURN NEXT dropped;
    END LOOP;
    DELETE FROM usage_event_other WHERE event_time < first_kept;
    UPDATE usage_calendar SET kept_from = greatest(kept_from, first_kept);
END $$;
SELECT ensure_usage_month(now()), ensure_usage_month(now() + interval '1 month');

-- How far each tenant's operations are in the usage log: up to this sequence.
CREATE TABLE usage_cursor (
    tenant text PRIMARY KEY REFERENCES tenant,
    sequence bigint NOT NULL DEFAULT 0,
    -- When the last of them was decided.
    event_time timestamptz
);

-- One row: the time zone that the days and hours of the sums are of, and how far back events are kept.
CREATE TABLE usage_calendar (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    time_zone text NOT NULL,
    -- Events before it were dropped.
    kept_from timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO usage_calendar (time_zone) VALUES ('UTC');

-- What events may be grouped by, besides who and when: each combination that there was. `combination` is a hash of the
-- rest, so that who sums needs to look nothing up.
CREATE TABLE usage_combination (
    combination bigint PRIMARY KEY,
    -- Of usage_work.
    work bigint NOT NULL,
    kind text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    size text NOT NULL,
    quality text NOT NULL,
    outcome text NOT NULL,
    cached text NOT NULL,
    downgraded boolean NOT NULL,
    downgrade_reason text NOT NULL,
    fallback boolean NOT NULL,
    presumed_spent boolean NOT NULL,
    late boolean NOT NULL,
    error_class text NOT NULL,
    reason text NOT NULL
);

-- Of these, what was made and where: there are far fewer of them.
CREATE TABLE usage_work (
    work bigint PRIMARY KEY,
    kind text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    size text NOT NULL,
    quality text NOT NULL
);

-- Sums stop at what they can have, so that nobody's amounts, however large they say they are, keep others' from being
-- counted. What has got there is no sum any more, and `audit` says so. Two of them, and what is made of two, still fit.
CREATE FUNCTION usage_sum(amount numeric) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
SELECT (CASE
    WHEN amount > 4611686018427387903 THEN 4611686018427387903
    WHEN amount < -4611686018427387903 THEN -4611686018427387903
    ELSE amount
END)::bigint
$$;
CREATE FUNCTION usage_added(one bigint, other bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
SELECT CASE
    WHEN one + other > 4611686018427387903 THEN 4611686018427387903
    WHEN one + other < -4611686018427387903 THEN -4611686018427387903
    ELSE one + other
END
$$;

-- The sums of events by combination. Levels: 0 the whole installation, 1 a tenant, 2 an account, 3 a user of an account
-- (where events name one). Grains, in minutes: 1440 a day and 60 an hour of the reporting time zone, 15 a quarter of an
-- hour, which fits every time zone. Kept are days of all levels, hours of 0 and 1, and quarters of 2 and 3.
CREATE TABLE usage_rollup (
    level smallint NOT NULL,
    grain smallint NOT NULL,
    bucket timestamptz NOT NULL,
    -- '' at level 0.
    tenant text NOT NULL,
    -- '' at levels 0 and 1.
    account text NOT NULL,
    user_name text NOT NULL,
    combination bigint NOT NULL,
    event_count bigint NOT NULL,
    images bigint NOT NULL,
    videos bigint NOT NULL,
    messages bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    actual_micros bigint NOT NULL,
    charged_micros bigint NOT NULL,
    refunded_micros bigint NOT NULL,
    credits_micros bigint NOT NULL,
    revenue_micros bigint NOT NULL,
    saved_micros bigint NOT NULL,
    duration_ms bigint NOT NULL,
    -- Events that have a duration.
    duration_count bigint NOT NULL,
    PRIMARY KEY (level, grain, bucket, tenant, account, user_name, combination)
) WITH (fillfactor = 80);
CREATE INDEX usage_rollup_by_tenant ON usage_rollup (tenant, level, grain, bucket);
CREATE INDEX usage_rollup_by_account ON usage_rollup (account, level, grain, bucket) WHERE level >= 2;

-- The same whatever the combination, with what is counted by outcome side by side: for who spends most, and for series of
-- all. Kept are days of all levels, and hours of 0 and 1.
CREATE TABLE usage_total (
    level smallint NOT NULL,
    grain smallint NOT NULL,
    bucket timestamptz NOT NULL,
    tenant text NOT NULL,
    account text NOT NULL,
    user_name text NOT NULL,
    succeeded_count bigint NOT NULL,
    failed_count bigint NOT NULL,
    part_count bigint NOT NULL,
    denied_count bigint NOT NULL,
    released_count bigint NOT NULL,
    expired_count bigint NOT NULL,
    refunded_count bigint NOT NULL,
    adjusted_count bigint NOT NULL,
    hit_count bigint NOT NULL,
    reversed_count bigint NOT NULL,
    downgraded_count bigint NOT NULL,
    fallback_count bigint NOT NULL,
    presumed_spent_count bigint NOT NULL,
    late_count bigint NOT NULL,
    images bigint NOT NULL,
    videos bigint NOT NULL,
    messages bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    actual_micros bigint NOT NULL,
    charged_micros bigint NOT NULL,
    refunded_micros bigint NOT NULL,
    credits_micros bigint NOT NULL,
    revenue_micros bigint NOT NULL,
    saved_micros bigint NOT NULL,
    duration_ms bigint NOT NULL,
    duration_count bigint NOT NULL,
    PRIMARY KEY (level, grain, bucket, tenant, account, user_name)
) WITH (fillfactor = 80);
CREATE INDEX usage_total_by_tenant ON usage_total (tenant, level, grain, bucket);
CREATE INDEX usage_total_by_account ON usage_total (account, level, grain, bucket) WHERE level >= 2;

-- The same by what was made and where. Kept are days of all levels, and hours of 0 and 1.
CREATE TABLE usage_work_total (LIKE usage_total);
ALTER TABLE usage_work_total ADD COLUMN work bigint NOT NULL,
ADD PRIMARY KEY (level, grain, bucket, tenant, account, user_name, work);
CREATE INDEX usage_work_total_by_tenant ON usage_work_total (tenant, level, grain, bucket);
CREATE INDEX usage_work_total_by_account ON usage_work_total (account, level, grain, bucket) WHERE level >= 2;

-- What a denial gives as its reason: the script's, else that of the tightest budget, else that of the grants. The same as
-- domain/operations.py says it.
CREATE FUNCTION usage_denial_reason(denied jsonb) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
SELECT CASE WHEN denied ->> 'reason' <> '' THEN denied ->> 'reason' ELSE coalesce((
    SELECT reason FROM (
        SELECT position, short_by, requested, CASE
            WHEN unit = 'RESERVATIONS' THEN 'CONCURRENCY_CAP'
            WHEN in_debt THEN 'DEBT_OUTSTANDING'
            WHEN short_by <= reserved THEN 'BUDGET_BUSY'
            ELSE 'BUDGET_EXHAUSTED'
        END AS reason
        FROM (
            SELECT position, split_part(row ->> 0, ':', 3) AS unit, (row ->> 2)::numeric AS reserved,
                (row ->> 5)::numeric AS requested, row ->> 6 = '1' AS in_debt,
                (row ->> 2)::numeric + (row ->> 3)::numeric - (row ->> 4)::numeric + (row ->> 5)::numeric
                - (row ->> 1)::numeric AS short_by
            FROM jsonb_array_elements(
                CASE jsonb_typeof(denied -> 'limiting') WHEN 'array' THEN denied -> 'limiting' ELSE '[]' END
            ) WITH ORDINALITY AS limiting (row, position)
        ) AS numbers
    ) AS reasons
    ORDER BY reason = 'BUDGET_BUSY', short_by / requested DESC, position LIMIT 1
), (
    SELECT CASE WHEN (row ->> 2)::numeric < 0 THEN 'DEBT_OUTSTANDING' ELSE 'INSUFFICIENT_GRANTS' END
    FROM jsonb_array_elements(
        CASE jsonb_typeof(denied -> 'shortages') WHEN 'array' THEN denied -> 'shortages' ELSE '[]' END
    ) WITH ORDINALITY AS shortage (row, position)
    ORDER BY position LIMIT 1
), '') END
$$;

-- Row-level security by tenant, besides the equality that every statement has, as 0013 says it of the cache; what is of
-- the whole installation is of no tenant.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['usage_event', 'usage_rollup', 'usage_total', 'usage_work_total', 'usage_cursor']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
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
        GRANT SELECT ON usage_combination, usage_work, usage_calendar TO paymaster_cache;
    END IF;
END
$$;
