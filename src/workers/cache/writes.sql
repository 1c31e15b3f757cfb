-- Named statements of workers/cache/writes.py, store.py and booking.py.

-- name: write_entry
-- One that is there is filled anew under its id: what was said against it stays said, but for its own prompt, since
-- what it has for that is new.
WITH kept AS (
    INSERT INTO cache_entry (
        entry_id, tenant, scope_hash, exact_hash, normalised_hash, signature_hash, structured_hash, context, embedding,
        embedder, generation_id, kind, model, quality_class, cost_micros, expire_time
    )
    VALUES (
        %(entry_id)s, %(tenant)s, %(scope)s, %(exact)s, %(normalised)s, %(signature)s, %(structured)s, %(context)s,
        %(embedding)s, %(embedder)s, %(generation_id)s, %(kind)s, %(model)s, %(quality_class)s, %(cost_micros)s,
        now() + %(life)s
    )
    ON CONFLICT (scope_hash, exact_hash) DO UPDATE
    SET normalised_hash = excluded.normalised_hash, signature_hash = excluded.signature_hash,
        structured_hash = excluded.structured_hash, context = excluded.context, embedding = excluded.embedding,
        embedder = excluded.embedder, generation_id = excluded.generation_id, cost_micros = excluded.cost_micros,
        create_time = excluded.create_time, last_use_time = excluded.last_use_time,
        expire_time = excluded.expire_time
    RETURNING entry_id, exact_hash
)
DELETE FROM cache_mismatch USING kept
WHERE cache_mismatch.entry_id = kept.entry_id AND cache_mismatch.exact_hash = kept.exact_hash;

-- name: evict_entries
-- Of a scope that is full, those go that were used least recently.
DELETE FROM cache_entry WHERE entry_id IN (
    SELECT entry_id FROM cache_entry WHERE tenant = %(tenant)s AND scope_hash = %(scope)s
    ORDER BY last_use_time DESC OFFSET %(entries_max)s
);

-- name: write_looked_up
UPDATE generation SET looked_up = true, lookup = %(report)s WHERE generation_id = %(generation_id)s;

-- name: write_hit
INSERT INTO cache_hit (generation_id, tenant, account, entry_id, source_generation_id, stage, score_ppm, saved_micros)
VALUES (%(generation_id)s, %(tenant)s, %(account)s, %(entry_id)s, %(source_id)s, %(stage)s, %(score_ppm)s,
        %(cost_micros)s);

-- name: touch_entry
UPDATE cache_entry SET last_use_time = now()
WHERE tenant = %(tenant)s AND entry_id = %(entry_id)s AND last_use_time < now() - %(precision)s;

-- name: write_sample
-- A later attempt at the same generation may have another; the first one stands.
INSERT INTO cache_sample (generation_id, tenant, account, entry_id, source_generation_id, stage, score_ppm)
VALUES (%(generation_id)s, %(tenant)s, %(account)s, %(entry_id)s, %(source_id)s, %(stage)s, %(score_ppm)s)
ON CONFLICT (generation_id) DO NOTHING;

-- name: judge_sample
-- Counted once: who comes later finds a verdict.
WITH judged AS (
    UPDATE cache_sample SET verdict = CASE WHEN %(same)s THEN 'MATCH' ELSE 'MISMATCH' END, verdict_time = now()
    WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s AND verdict IS NULL
    RETURNING tenant, stage
)
INSERT INTO cache_bin (tenant, stage, bin, matches, mismatches)
SELECT tenant, stage, %(bin)s, %(same)s::int, (NOT %(same)s)::int FROM judged
ON CONFLICT (tenant, stage, bin) DO UPDATE
SET matches = cache_bin.matches + excluded.matches, mismatches = cache_bin.mismatches + excluded.mismatches;

-- name: delete_entries_of
-- What was made for a generation is gone.
DELETE FROM cache_entry WHERE tenant = %(tenant)s AND generation_id = %(generation_id)s;

-- name: lock_unbooked_hits
SELECT generation_id, account, entry_id, stage, score_ppm, saved_micros, create_time FROM cache_hit
WHERE booked_time IS NULL AND (create_time, generation_id) > (%(after_time)s, %(after_id)s)
ORDER BY create_time, generation_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: write_booked
UPDATE cache_hit SET booked_time = now() WHERE generation_id = ANY(%(generation_ids)s) AND booked_time IS NULL;
