-- Reconciliation: what providers say that they have billed, and what the books were corrected by.
-- A provider bills all tenants together, so no tenant reads any of it, and rows are not secured by tenant.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file require-concurrent-index-creation, adding-foreign-key-constraint

CREATE TABLE bill (
    bill_id text PRIMARY KEY,
    -- Of two bills of a day, the one with the higher number counts.
    bill_number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    provider text NOT NULL,
    -- Which account at the provider; '' where there is one.
    source text NOT NULL,
    format text NOT NULL CHECK (format IN ('OPENAI', 'FAL')),
    file_name text NOT NULL,
    content_sha256 bytea NOT NULL,
    line_count bigint NOT NULL CHECK (line_count >= 0),
    -- It says what was billed on each day from the first to the last, also where that is nothing.
    start_day date NOT NULL,
    end_day date NOT NULL CHECK (end_day >= start_day),
    -- Exact: providers bill less than a micro for a call, and write it down.
    billed_usd numeric NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    withdraw_time timestamptz
);
-- The same content is imported once, until it is withdrawn.
CREATE UNIQUE INDEX bill_by_content ON bill (provider, source, content_sha256) WHERE withdraw_time IS NULL;

CREATE TABLE bill_line (
    bill_id text NOT NULL REFERENCES bill,
    -- In the file, of which the first is 1.
    line_number bigint NOT NULL,
    day date NOT NULL,
    -- As the catalogue names it, where it does; and as the provider does.
    model text NOT NULL,
    billed_model text NOT NULL,
    -- What is counted, such as `input_tokens` or `image`; '' where the provider does not say.
    item text NOT NULL,
    quantity numeric,
    billed_usd numeric NOT NULL,
    PRIMARY KEY (bill_id, line_number)
);
CREATE INDEX bill_line_by_day ON bill_line (day, bill_id);

-- The attempts whose cost is booked, by when they were made: providers bill by that.
CREATE INDEX generation_attempt_by_call ON generation_attempt (dispatch_time) WHERE state = 'COMMITTED';

-- Every call whose cost is booked: the attempts of generations, and what services that keep their own provider's calls
-- have committed under the labels `provider` and `model`.
CREATE VIEW provider_call AS
SELECT
    split_part(generation_id, '/', 1) AS tenant,
    provider,
    model,
    (dispatch_time AT TIME ZONE 'UTC')::date AS day,
    dispatch_time AS call_time,
    actual_micros AS cost_micros,
    presumed_spent AS presumed
FROM generation_attempt WHERE state = 'COMMITTED' AND dispatch_time IS NOT NULL
UNION ALL
SELECT tenant, provider, model, (event_time AT TIME ZONE 'UTC')::date, event_time, actual_micros, false
FROM usage_event
WHERE generation_id IS NULL AND reservation_id IS NOT NULL AND provider <> ''
    AND outcome IN ('SUCCEEDED', 'FAILED', 'PART');

-- What the books of a model and a day were corrected by. It is written down before the first operation, and whoever finds
-- parts that are not finished finishes them: the keys of their operations are made of these rows.
CREATE TABLE bill_adjustment (
    adjustment_id text PRIMARY KEY,
    idempotency_key text NOT NULL UNIQUE,
    -- As it was asked for: a repeat must ask for the same.
    request jsonb NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    day date NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    finish_time timestamptz
);
CREATE INDEX bill_adjustment_by_day ON bill_adjustment (day, provider, model);
CREATE INDEX bill_adjustment_open ON bill_adjustment (create_time) WHERE finish_time IS NULL;

CREATE TABLE bill_adjustment_part (
    adjustment_id text NOT NULL REFERENCES bill_adjustment,
    position bigint NOT NULL CHECK (position >= 1),
    account text NOT NULL,
    -- What is added to the cost in the books; below 0 where less was billed.
    cost_micros bigint NOT NULL CHECK (cost_micros BETWEEN -9007199254740991 AND 9007199254740991 AND cost_micros <> 0),
    -- Of an attempt that was presumed spent; else null.
    generation_id text,
    attempt bigint,
    reservation_id text,
    -- What its account is to get back: all that is left of the charge, so much of it, or nothing.
    refund text NOT NULL CHECK (refund IN ('ALL', 'PART', 'NONE')),
    -- What it got back in USD; null until that is done.
    refunded_micros bigint CHECK (refunded_micros BETWEEN 0 AND 9007199254740991),
    finish_time timestamptz,
    PRIMARY KEY (adjustment_id, position),
    CHECK ((generation_id IS NULL) = (attempt IS NULL) AND (generation_id IS NOT NULL OR refund = 'NONE'))
);
CREATE INDEX bill_adjustment_part_by_attempt ON bill_adjustment_part (generation_id, attempt)
WHERE generation_id IS NOT NULL;
