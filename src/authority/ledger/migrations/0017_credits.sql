-- What users pay: what a grant was paid for, the price list in credits, what an attempt was billed for, and why a
-- generation was downgraded.

-- What was paid for the whole of the grant, in micros of USD; 0 for one that was given.
ALTER TABLE account_grant
ADD COLUMN price_micros bigint NOT NULL DEFAULT 0 CHECK (price_micros BETWEEN 0 AND 9007199254740991);

-- The prices that users pay in credits, one row for each version, for ever. The latest counts.
CREATE TABLE price_list (
    version bigint PRIMARY KEY CHECK (version >= 1),
    -- [{"kind", "tier", "credits"}, ...]: micros of a credit for an image, a message or a second of video.
    prices jsonb NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

INSERT INTO price_list (version, prices, actor, reason) VALUES (1, '[
    {"kind": "image", "tier": "premium", "credits": 2000000},
    {"kind": "image", "tier": "standard", "credits": 1000000},
    {"kind": "chat", "tier": "premium", "credits": 500000},
    {"kind": "chat", "tier": "standard", "credits": 100000},
    {"kind": "video", "tier": "premium", "credits": 2000000},
    {"kind": "video", "tier": "standard", "credits": 1000000}
]', 'paymaster', 'The defaults.');

ALTER TABLE generation_attempt
-- Of the option that was held: as of the generation, below. Written before the provider is called.
ADD COLUMN downgrade_reason text NOT NULL DEFAULT '' CHECK (
    downgrade_reason IN ('', 'soft_cap', 'budget', 'grants', 'plan_tier', 'unavailable')
),
ADD COLUMN downgrade_budget text NOT NULL DEFAULT '',
-- As the provider has billed, and how many were made: {"input_tokens", "output_tokens", "images", "videos",
-- "milliseconds"}; what is unknown is left out. Null for attempts that were never answered.
ADD COLUMN usage jsonb;

ALTER TABLE generation
-- Why another tier was made than the one asked for; '' where it was not downgraded, or was before this was kept.
ADD COLUMN downgrade_reason text NOT NULL DEFAULT '' CHECK (
    downgrade_reason IN ('', 'soft_cap', 'budget', 'grants', 'plan_tier', 'unavailable')
),
-- The budget that was in the way, as `account#budget`; '' where none was.
ADD COLUMN downgrade_budget text NOT NULL DEFAULT '';

-- How much of each lot of a grant that was paid for has been used, as far as recognise_revenue was told.
CREATE TABLE lot_use (
    grant_key bigint NOT NULL,
    start_ms bigint NOT NULL,
    used numeric NOT NULL,
    PRIMARY KEY (grant_key, start_ms)
);

-- Says how much of a grant's price is revenue once so much of it is used, rounded down: nothing for what is owed above
-- it, and all of the price when all is used.
CREATE FUNCTION earned_micros(price_micros bigint, amount bigint, used numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
SELECT div(price_micros::numeric * least(greatest(used, 0), amount), amount::numeric)::bigint
$$;

-- Takes what operations have added to lots, committed less refunded, and returns the revenue of each operation; those
-- without any are left out. An operation's is what is earned after it less what was before it: so rounding loses nothing,
-- and all revenue of a lot that is used up is its grant's price exactly. Each operation is to be told once, in the order
-- of a tenant's sequence; whoever counts anew empties lot_use of the tenant's grants first.
CREATE FUNCTION recognise_revenue(sequences bigint[], grant_keys bigint[], starts_ms bigint[], amounts bigint[])
RETURNS TABLE (sequence bigint, revenue_micros bigint) LANGUAGE sql AS $$
WITH told AS (
    SELECT told.sequence, told.grant_key, told.start_ms, told.used, account_grant.price_micros, account_grant.amount
    FROM (
        SELECT told.sequence, told.grant_key, told.start_ms, sum(told.used) AS used
        FROM unnest(sequences, grant_keys, starts_ms, amounts) AS told (sequence, grant_key, start_ms, used)
        GROUP BY 1, 2, 3
        HAVING sum(told.used) <> 0
    ) AS told
    JOIN account_grant USING (grant_key)
    WHERE account_grant.price_micros > 0
), counted AS (
    SELECT told.*, coalesce(lot_use.used, 0)
        + sum(told.used) OVER (PARTITION BY told.grant_key, told.start_ms ORDER BY told.sequence) AS used_after
    FROM told LEFT JOIN lot_use USING (grant_key, start_ms)
), kept AS (
    INSERT INTO lot_use AS kept (grant_key, start_ms, used)
    SELECT grant_key, start_ms, sum(used) FROM told GROUP BY 1, 2
    ON CONFLICT (grant_key, start_ms) DO UPDATE SET used = kept.used + excluded.used
)
SELECT counted.sequence, sum(
    earned_micros(price_micros, amount, used_after) - earned_micros(price_micros, amount, used_after - used)
)::bigint
FROM counted GROUP BY counted.sequence
$$;
