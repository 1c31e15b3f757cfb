-- Named statements of ledger/cache.py and ledger/cache_search.py. Each names the tenant, besides what row-level security holds to.

-- name: list_cache_entries
SELECT entry.*, generation.prompt, generation.size, used.hit_count, used.saved
FROM cache_entry AS entry JOIN generation USING (generation_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS hit_count,
           coalesce(sum(saved_micros) FILTER (WHERE reversed_time IS NULL), 0)::bigint AS saved
    FROM cache_hit WHERE cache_hit.entry_id = entry.entry_id AND cache_hit.tenant = entry.tenant
) AS used
WHERE entry.tenant = %(tenant)s AND entry.expire_time > now()
  AND (%(before)s = '' OR entry.entry_id < %(before)s) AND (%(entry_id)s = '' OR entry.entry_id = %(entry_id)s)
  AND (%(kind)s = '' OR entry.kind = %(kind)s) AND (%(model)s = '' OR entry.model = %(model)s)
  AND (%(text)s = '' OR position(lower(%(text)s) IN lower(generation.prompt)) > 0)
  AND (%(stage)s = '' OR EXISTS (
      SELECT FROM cache_hit
      WHERE cache_hit.entry_id = entry.entry_id AND cache_hit.tenant = entry.tenant AND cache_hit.stage = %(stage)s
  ))
ORDER BY entry.entry_id DESC LIMIT %(limit)s;

-- name: list_entry_hits
SELECT hit.*, generation.prompt, FALSE AS sampled FROM cache_hit AS hit JOIN generation USING (generation_id)
WHERE hit.tenant = %(tenant)s AND hit.entry_id = %(entry_id)s
ORDER BY hit.create_time DESC LIMIT %(limit)s;

-- name: find_hit
SELECT hit.*, generation.prompt, FALSE AS sampled FROM cache_hit AS hit JOIN generation USING (generation_id)
WHERE hit.tenant = %(tenant)s AND hit.generation_id = %(generation_id)s;

-- name: find_sample
SELECT sample.*, 0 AS saved_micros, NULL AS booked_time, NULL AS reversed_time, generation.prompt, TRUE AS sampled
FROM cache_sample AS sample JOIN generation USING (generation_id)
WHERE sample.tenant = %(tenant)s AND sample.generation_id = %(generation_id)s;

-- name: judge_hit
-- The first verdict stands. One that joined another is told of the entry that would serve it now.
UPDATE cache_hit SET verdict = %(verdict)s, verdict_time = now()
WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND verdict IS NULL
RETURNING stage, coalesce(entry_id, (
    SELECT entry_id FROM cache_entry
    WHERE cache_entry.tenant = cache_hit.tenant AND cache_entry.generation_id = cache_hit.source_generation_id
    LIMIT 1
), '') AS entry_id;

-- name: judge_sample
UPDATE cache_sample SET verdict = %(verdict)s, verdict_time = now()
WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND verdict IS NULL
RETURNING stage, entry_id;

-- name: count_verdict
INSERT INTO cache_bin (tenant, stage, bin, matches, mismatches)
VALUES (%(tenant)s, %(stage)s, %(bin)s, %(match)s::int, (NOT %(match)s)::int)
ON CONFLICT (tenant, stage, bin) DO UPDATE
SET matches = cache_bin.matches + excluded.matches, mismatches = cache_bin.mismatches + excluded.mismatches;

-- name: strike_entry
UPDATE cache_entry
SET strike_count = strike_count + 1,
    status = CASE WHEN strike_count + 1 >= %(strikes_max)s THEN 'EXACT_ONLY' ELSE status END
WHERE tenant = %(tenant)s AND entry_id = %(entry_id)s;

-- name: deny_pair
-- Of an entry that is gone there is nothing to deny.
INSERT INTO cache_mismatch (entry_id, exact_hash, tenant)
SELECT entry_id, %(exact_hash)s, tenant FROM cache_entry
WHERE tenant = %(tenant)s AND entry_id = %(entry_id)s FOR KEY SHARE
ON CONFLICT (entry_id, exact_hash) DO NOTHING;

-- name: entry_standing
SELECT strike_count, status FROM cache_entry WHERE tenant = %(tenant)s AND entry_id = %(entry_id)s;

-- name: list_unreversed
SELECT hit.*, '' AS prompt, FALSE AS sampled FROM cache_hit AS hit
WHERE verdict = 'MISMATCH' AND reversed_time IS NULL AND NOT generation_id = ANY(%(set_aside)s::text[])
ORDER BY verdict_time LIMIT %(limit)s;

-- name: mark_booked
UPDATE cache_hit SET booked_time = now()
WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND booked_time IS NULL;

-- name: mark_reversed
UPDATE cache_hit SET reversed_time = now()
WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND reversed_time IS NULL;

-- name: count_purge
SELECT count(*) AS count FROM cache_entry
WHERE (%(tenant)s = '' OR tenant = %(tenant)s) AND (%(entry_id)s = '' OR entry_id = %(entry_id)s)
  AND (%(model)s = '' OR model = %(model)s)
  AND (%(older_than)s::interval IS NULL OR create_time <= now() - %(older_than)s::interval);

-- name: purge
DELETE FROM cache_entry
WHERE (%(tenant)s = '' OR tenant = %(tenant)s) AND (%(entry_id)s = '' OR entry_id = %(entry_id)s)
  AND (%(model)s = '' OR model = %(model)s)
  AND (%(older_than)s::interval IS NULL OR create_time <= now() - %(older_than)s::interval);

-- name: find_policies
SELECT account, policy FROM cache_policy WHERE tenant = %(tenant)s AND account = ANY(%(accounts)s::text[]);

-- name: lock_policy
-- Two changes of one account follow one another, also where neither finds a row.
SELECT FROM account WHERE account = %(account)s FOR NO KEY UPDATE;

-- name: write_policy
INSERT INTO cache_policy (account, tenant, policy) VALUES (%(account)s, %(tenant)s, %(policy)s)
ON CONFLICT (account) DO UPDATE SET policy = excluded.policy, update_time = now();

-- name: delete_policy
DELETE FROM cache_policy WHERE account = %(account)s AND tenant = %(tenant)s;

-- name: enter_tenant
-- For this transaction alone: rows of others are not there, by row-level security, for whom the role of look-ups is.
SELECT set_config('paymaster.tenant', %(tenant)s, true), set_config('role', CASE
    WHEN has_cache_role() AND has_table_privilege('paymaster_cache', 'cache_entry', 'SELECT') THEN 'paymaster_cache'
    ELSE 'none'
END, true);

-- name: known_entries
-- What has the same hash as a request, or shares what its context must have.
SELECT entry.*, generation.prompt, 1000000 AS score_ppm, EXISTS (
    SELECT FROM cache_mismatch
    WHERE cache_mismatch.entry_id = entry.entry_id AND cache_mismatch.tenant = entry.tenant
      AND cache_mismatch.exact_hash = %(exact)s
) AS is_denied
FROM cache_entry AS entry JOIN generation USING (generation_id)
WHERE entry.tenant = %(tenant)s AND scope_hash = %(scope)s AND expire_time > now()
  AND (exact_hash = %(exact)s OR normalised_hash = %(normalised)s::bytea OR signature_hash = %(signature)s::bytea
       OR structured_hash = %(structured)s::bytea)
ORDER BY entry.create_time DESC LIMIT %(limit)s;

-- name: near_entries
-- The nearest by the cosine, of all in the scope; an index of vectors would lose most of them behind the filter.
WITH scoped AS MATERIALIZED (
    SELECT entry_id, embedding <=> %(vector)s::halfvec AS distance FROM cache_entry
    WHERE tenant = %(tenant)s AND scope_hash = %(scope)s AND expire_time > now() AND embedding IS NOT NULL
)
SELECT entry.*, generation.prompt, greatest(floor((1 - distance) * 1000000), 0)::bigint AS score_ppm, EXISTS (
    SELECT FROM cache_mismatch
    WHERE cache_mismatch.entry_id = entry.entry_id AND cache_mismatch.tenant = entry.tenant
      AND cache_mismatch.exact_hash = %(exact)s
) AS is_denied
FROM scoped JOIN cache_entry AS entry USING (entry_id) JOIN generation USING (generation_id)
WHERE entry.tenant = %(tenant)s
ORDER BY distance LIMIT %(limit)s;
