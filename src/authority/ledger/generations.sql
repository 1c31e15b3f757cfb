-- Named statements of ledger/generations.py.

-- name: insert_generation
INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt, requested_model,
                        size, quality, count, settings, priority, deadline_time, parent_id, reuse, accept_entry_id,
                        context)
VALUES (%(generation_id)s, %(tenant)s, %(account)s, %(key)s, %(kind)s, %(prompt)s, %(model)s, %(size)s,
        %(quality)s, %(count)s, %(settings)s, %(priority)s, now() + %(expire_after)s::interval,
        nullif(%(parent_id)s, ''), %(reuse)s, nullif(%(accept_entry_id)s, ''), %(context)s)
ON CONFLICT (tenant, idempotency_key) DO NOTHING
RETURNING *, '[]'::json AS artifacts;

-- name: find_generation_by_key
SELECT generation.*, made.artifacts FROM generation
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(artifact ORDER BY position), '[]') AS artifacts
    FROM artifact WHERE artifact.generation_id = generation.generation_id
) AS made
WHERE tenant = %(tenant)s AND idempotency_key = %(key)s;

-- name: find_generations
SELECT generation.*, made.artifacts FROM generation
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(artifact ORDER BY position), '[]') AS artifacts
    FROM artifact WHERE artifact.generation_id = generation.generation_id
) AS made
WHERE generation_id = ANY(%(generation_ids)s);

-- name: list_generations
SELECT generation.*, made.artifacts FROM generation
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(artifact ORDER BY position), '[]') AS artifacts
    FROM artifact WHERE artifact.generation_id = generation.generation_id
) AS made
WHERE account = %(account)s AND (%(before)s = '' OR generation_id < %(before)s)
  AND (%(kind)s = '' OR kind = %(kind)s) AND (%(state)s = '' OR state = %(state)s)
  AND (%(model)s = '' OR model = %(model)s) AND (NOT %(favourites_only)s OR favourite)
  AND (%(parent_id)s = '' OR parent_id = %(parent_id)s)
  AND (%(start_ms)s = 0 OR create_time >= to_timestamp(%(start_ms)s / 1000.0))
  AND (%(end_ms)s = 0 OR create_time < to_timestamp(%(end_ms)s / 1000.0))
ORDER BY generation_id DESC LIMIT %(limit)s;

-- name: cancel_generation
-- Ends at once what nobody is at work on and no attempt is open for. Else a worker sees the time: by its lease,
-- or by the job of the next number, which is for the caller to enqueue.
WITH unsettled AS (
    SELECT EXISTS (
        SELECT FROM generation_attempt WHERE generation_id = %(generation_id)s
        AND state IN ('RESERVING', 'DISPATCHED', 'ANSWERED', 'FAILED')
    ) AS found
)
UPDATE generation
SET cancel_time = coalesce(cancel_time, now()),
    requeue_number = requeue_number + (state = 'QUEUED' AND unsettled.found)::int,
    state = CASE WHEN state = 'QUEUED' AND NOT unsettled.found THEN 'CANCELLED' ELSE state END,
    end_time = CASE WHEN state = 'QUEUED' AND NOT unsettled.found THEN now() END,
    error_reason = CASE WHEN state = 'QUEUED' AND NOT unsettled.found THEN 'cancelled' ELSE '' END,
    error_message = CASE WHEN state = 'QUEUED' AND NOT unsettled.found THEN 'It was cancelled.' ELSE '' END
FROM unsettled
WHERE generation_id = %(generation_id)s AND state IN ('QUEUED', 'RUNNING')
RETURNING generation.*, '[]'::json AS artifacts;

-- name: retry_generation
-- As dead letters are retried: what an attempt has stored and nobody has paid for is not what the next one makes.
-- What the user has asked for last counts, so that a cancelling that came too late does not stop it.
WITH chosen AS (
    SELECT generation_id FROM generation
    WHERE generation_id = %(generation_id)s AND state = 'FAILED' AND coalesce(deadline_time > now(), true)
    FOR UPDATE
), dropped AS (
    DELETE FROM artifact USING chosen WHERE artifact.generation_id = chosen.generation_id
)
UPDATE generation
SET state = 'QUEUED', requeue_number = requeue_number + 1, forgiven_count = attempt_count, dead_time = NULL,
    end_time = NULL, error_reason = '', error_message = '', next_try_time = now(), crash_count = 0,
    join_key = NULL, leader_id = NULL, cancel_time = NULL
FROM chosen WHERE generation.generation_id = chosen.generation_id
RETURNING generation.*, '[]'::json AS artifacts;

-- name: update_generation
WITH changed AS (
    UPDATE generation SET favourite = coalesce(%(favourite)s, favourite),
                          visibility = coalesce(%(visibility)s, visibility)
    WHERE generation_id = %(generation_id)s RETURNING *
)
SELECT changed.*, made.artifacts FROM changed
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(artifact ORDER BY position), '[]') AS artifacts
    FROM artifact WHERE artifact.generation_id = changed.generation_id
) AS made;

-- name: find_artifact
SELECT artifact.*, visibility FROM artifact JOIN generation USING (generation_id)
WHERE artifact_id = %(artifact_id)s AND state = 'SUCCEEDED' AND delete_time IS NULL;

-- name: find_artifacts
SELECT artifact.* FROM artifact JOIN generation USING (generation_id)
WHERE artifact_id = ANY(%(artifact_ids)s) AND state = 'SUCCEEDED' AND delete_time IS NULL;

-- name: count_open_generations
SELECT count(*) FILTER (WHERE state = 'QUEUED') AS queued,
       count(*) FILTER (WHERE state = 'RUNNING') AS running
FROM generation WHERE state IN ('QUEUED', 'RUNNING');
