-- Named statements of ledger/dead_letters.py.

-- name: list_dead_letters
SELECT *, '[]'::json AS artifacts FROM generation
WHERE dead_time IS NOT NULL
  AND (%(generation_ids)s::text[] IS NULL OR generation_id = ANY(%(generation_ids)s))
  AND %(kind)s IN ('', kind) AND %(error_reason)s IN ('', error_reason)
  AND %(account)s IN ('', account, tenant)
  AND (%(older_than)s::interval IS NULL OR dead_time <= now() - %(older_than)s)
ORDER BY dead_time, generation_id LIMIT %(limit)s;

-- name: retry_dead_letters
-- What an attempt has stored and nobody has paid for is not what the next one makes.
WITH chosen AS (
    SELECT generation_id FROM generation
    WHERE dead_time IS NOT NULL
      AND (%(generation_ids)s::text[] IS NULL OR generation_id = ANY(%(generation_ids)s))
      AND %(kind)s IN ('', kind) AND %(error_reason)s IN ('', error_reason)
      AND %(account)s IN ('', account, tenant)
      AND (%(older_than)s::interval IS NULL OR dead_time <= now() - %(older_than)s)
    ORDER BY dead_time, generation_id LIMIT %(limit)s FOR UPDATE
), dropped AS (
    DELETE FROM artifact USING chosen WHERE artifact.generation_id = chosen.generation_id
)
UPDATE generation
SET state = 'QUEUED', requeue_number = requeue_number + 1, forgiven_count = attempt_count, dead_time = NULL,
    end_time = NULL, error_reason = '', error_message = '', next_try_time = now(), crash_count = 0,
    join_key = NULL, leader_id = NULL, cancel_time = NULL
FROM chosen WHERE generation.generation_id = chosen.generation_id
RETURNING generation.*, '[]'::json AS artifacts;

-- name: discard_dead_letters
WITH chosen AS (
    SELECT generation_id FROM generation
    WHERE dead_time IS NOT NULL
      AND (%(generation_ids)s::text[] IS NULL OR generation_id = ANY(%(generation_ids)s))
      AND %(kind)s IN ('', kind) AND %(error_reason)s IN ('', error_reason)
      AND %(account)s IN ('', account, tenant)
      AND (%(older_than)s::interval IS NULL OR dead_time <= now() - %(older_than)s)
    ORDER BY dead_time, generation_id LIMIT %(limit)s FOR UPDATE
)
UPDATE generation SET dead_time = NULL
FROM chosen WHERE generation.generation_id = chosen.generation_id
RETURNING generation.generation_id;

-- name: list_attempts
SELECT attempt, state, provider, model, coalesce(reservation_id, '') AS reservation_id,
       coalesce(remote_id, '') AS remote_id, estimate_micros, charged_micros, presumed_spent, error_reason,
       error_message, error_class, error_body, request_id, create_time, dispatch_time, settle_time, retry_time
FROM generation_attempt WHERE generation_id = %(generation_id)s ORDER BY attempt;
