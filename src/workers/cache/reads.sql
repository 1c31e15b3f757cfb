-- Named statements of workers/cache/store.py. Look-ups see one tenant's rows alone, by row-level security too.

-- name: has_vectors
SELECT ensure_cache_embedding() AS found;

-- name: has_role
SELECT has_cache_role() AND has_table_privilege('paymaster_cache', 'cache_entry', 'SELECT') AS found;

-- name: has_row_security
-- Superusers pass it, and owners too, unless it is forced.
SELECT row_security_active('cache_entry') AS found;

-- name: become
-- For this transaction alone.
SELECT set_config('paymaster.tenant', %(tenant)s, true), set_config('role', %(role)s, true);

-- name: find_policy
WITH RECURSIVE above AS (
    SELECT account, parent, 0 AS steps FROM account WHERE account = %(account)s
    UNION ALL
    SELECT account.account, account.parent, steps + 1 FROM account JOIN above ON account.account = above.parent
)
SELECT policy FROM above JOIN cache_policy USING (account) ORDER BY steps LIMIT 1;

-- name: find_by_hashes
-- One index for each hash; a condition that joins them might be answered by a walk through the scope.
WITH live AS NOT MATERIALIZED (
    SELECT * FROM cache_entry
    WHERE tenant = %(tenant)s AND scope_hash = %(scope)s AND expire_time > now() AND entry_id <> ALL(ARRAY(
        SELECT entry_id FROM cache_mismatch WHERE tenant = %(tenant)s AND exact_hash = %(exact)s
    ))
)
SELECT 'exact' AS stage, entry_id, generation_id, cost_micros, NULL::jsonb AS context
FROM live WHERE exact_hash = %(exact)s
UNION ALL (
    SELECT 'normalised', entry_id, generation_id, cost_micros, NULL FROM live
    WHERE normalised_hash = %(normalised)s::bytea AND status = 'ACTIVE' ORDER BY create_time DESC LIMIT 1
)
UNION ALL (
    SELECT 'signature', entry_id, generation_id, cost_micros, NULL FROM live
    WHERE signature_hash = %(signature)s::bytea AND status = 'ACTIVE' ORDER BY create_time DESC LIMIT 1
)
UNION ALL (
    SELECT 'structured', entry_id, generation_id, cost_micros, context FROM live
    WHERE structured_hash = %(structured)s::bytea AND status = 'ACTIVE' ORDER BY create_time DESC
    LIMIT %(compared_max)s
);

-- name: find_nearest
-- Materialised, so that the nearest are those of the scope and no index over all scopes is asked for them.
WITH live AS MATERIALIZED (
    SELECT entry_id, generation_id, cost_micros, embedding <=> %(vector)s::halfvec AS distance FROM cache_entry
    WHERE tenant = %(tenant)s AND scope_hash = %(scope)s AND expire_time > now() AND status = 'ACTIVE'
      AND embedding IS NOT NULL AND entry_id <> ALL(ARRAY(
          SELECT entry_id FROM cache_mismatch WHERE tenant = %(tenant)s AND exact_hash = %(exact)s
      ))
), nearest AS (
    SELECT * FROM live ORDER BY distance LIMIT %(limit)s
)
SELECT entry_id, generation_id, nearest.cost_micros, prompt, distance
FROM nearest JOIN generation USING (generation_id) WHERE generation.tenant = %(tenant)s ORDER BY distance;

-- name: find_entry
SELECT entry_id, generation_id, cost_micros FROM cache_entry
WHERE tenant = %(tenant)s AND entry_id = %(entry_id)s AND scope_hash = %(scope)s AND expire_time > now()
  AND NOT EXISTS (
      SELECT FROM cache_mismatch
      WHERE cache_mismatch.entry_id = cache_entry.entry_id AND cache_mismatch.exact_hash = %(exact)s
  );

-- name: find_bin
SELECT matches, mismatches FROM cache_bin WHERE tenant = %(tenant)s AND stage = %(stage)s AND bin = %(bin)s;

-- name: find_source
-- All of it or nothing: of what is being deleted, some may be left.
SELECT provider, model, json_agg(artifact ORDER BY position) AS artifacts
FROM generation JOIN artifact USING (generation_id)
WHERE generation.tenant = %(tenant)s AND generation_id = %(generation_id)s
GROUP BY generation_id HAVING bool_and(delete_time IS NULL);

-- name: find_unjudged_sample
SELECT score_ppm, source_generation_id FROM cache_sample
WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND verdict IS NULL;
