-- Which sums of usage are kept, and by which keys.

-- Of accounts and users there are hours too, whatever the combination and by what was made: without them the ends of a time
-- are read of quarters of an hour by combination, of which there are many times more.
-- Which sums are kept: 1 without these hours, 2 with them. Those of 1 are counted anew as an authority starts.
ALTER TABLE usage_calendar ADD COLUMN layout bigint NOT NULL DEFAULT 2;
UPDATE usage_calendar SET layout = 1 WHERE EXISTS (SELECT FROM usage_total);

-- A key that stands for some texts. Whose labels are made to have another's key must look for as long as for half of SHA-256.
CREATE FUNCTION usage_key(VARIADIC texts text []) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
SELECT ('x' || encode(substring(sha256(convert_to(array_to_string(texts, E'\n'), 'UTF8')) FROM 1 FOR 8), 'hex'))::bit(64)::bigint
$$;
CREATE TEMPORARY TABLE renamed ON COMMIT DROP AS
SELECT combination AS former, work AS former_work, usage_key(kind, provider, model, size, quality) AS work, usage_key(
    kind, provider, model, size, quality, outcome, cached, downgraded::text, downgrade_reason, fallback::text,
    presumed_spent::text, late::text, error_class, reason
) AS combination FROM usage_combination;
UPDATE usage_rollup SET combination = renamed.combination FROM renamed WHERE usage_rollup.combination = former;
UPDATE usage_work_total SET work = renamed.work
FROM (SELECT DISTINCT former_work, work FROM renamed) AS renamed WHERE usage_work_total.work = former_work;
UPDATE usage_combination SET combination = renamed.combination, work = renamed.work
FROM renamed WHERE usage_combination.combination = former;
UPDATE usage_work SET work = usage_key(kind, provider, model, size, quality);
