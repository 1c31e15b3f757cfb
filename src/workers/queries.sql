-- Named statements of workers/store.py. Every write holds its claim first, in the same transaction.

-- name: claim
-- Takes a generation that no worker has and whose time has come: to go on with it, or to stop it.
UPDATE generation
SET state = 'RUNNING', fence = fence + 1, crash_count = crash_count + 1, lease_owner = %(owner)s,
    lease_until = now() + %(lease)s, start_time = coalesce(start_time, now())
WHERE generation_id = %(generation_id)s AND state IN ('QUEUED', 'RUNNING')
  AND coalesce(lease_until, now()) <= now()
  AND (
    cancel_time IS NOT NULL OR deadline_time <= now()
    OR (next_try_time <= now() AND NOT EXISTS (
        SELECT FROM generation AS leader
        WHERE leader.generation_id = generation.leader_id AND leader.state IN ('QUEUED', 'RUNNING')
    ))
  )
RETURNING *, extract(epoch FROM deadline_time - now())::float8 AS deadline_s;

-- name: claim_wait
-- Says when to look after an open generation again; no row if it is at its end.
SELECT extract(epoch FROM greatest(
    lease_until,
    least(deadline_time, CASE WHEN leader_id IS NULL THEN next_try_time ELSE now() + %(follow)s END)
) - now())::float8 AS seconds
FROM generation WHERE generation_id = %(generation_id)s AND state IN ('QUEUED', 'RUNNING');

-- name: hold_claim
-- Keeps others from claiming the generation until the transaction ends; no row if one already has.
SELECT generation_id FROM generation
WHERE generation_id = %(generation_id)s AND fence = %(fence)s AND state = 'RUNNING' FOR UPDATE;

-- name: renew
-- Returns the claims that still hold, and which of them are to be cancelled. It waits for nobody: whoever writes a row
-- at this moment may wait for another of them.
WITH held AS (
    SELECT generation.generation_id, cancel_time IS NOT NULL AS cancelled
    FROM generation
    JOIN unnest(%(generation_ids)s::text[], %(fences)s::bigint[]) AS claim (generation_id, fence)
      USING (generation_id, fence)
    WHERE state = 'RUNNING'
), free AS (
    SELECT generation.generation_id FROM generation JOIN held USING (generation_id)
    FOR NO KEY UPDATE OF generation SKIP LOCKED
), renewed AS (
    UPDATE generation SET lease_until = now() + %(lease)s
    FROM free
    JOIN unnest(%(generation_ids)s::text[], %(fences)s::bigint[]) AS claim (generation_id, fence)
      USING (generation_id)
    WHERE generation.generation_id = free.generation_id AND generation.fence = claim.fence
      AND generation.state = 'RUNNING'
)
SELECT * FROM held;

-- name: read_attempts
SELECT *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
       extract(epoch FROM retry_time - now())::float8 AS retry_s
FROM generation_attempt WHERE generation_id = %(generation_id)s ORDER BY attempt;

-- name: put_back
UPDATE generation
SET state = 'QUEUED', lease_owner = NULL, lease_until = NULL, next_try_time = now() + %(delay)s,
    stage = '', progress_percent = NULL,
    crash_count = CASE WHEN %(crashed)s THEN crash_count ELSE 0 END
WHERE generation_id = %(generation_id)s;

-- name: insert_attempt
WITH counted AS (
    UPDATE generation SET attempt_count = attempt_count + 1 WHERE generation_id = %(generation_id)s
    RETURNING attempt_count
)
INSERT INTO generation_attempt (generation_id, attempt, options)
SELECT %(generation_id)s, attempt_count, %(options)s FROM counted
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: write_dispatch
UPDATE generation_attempt
SET state = 'DISPATCHED', option_index = %(option_index)s, provider = %(provider)s, model = %(model)s,
    reservation_id = %(reservation_id)s, estimate_micros = %(estimate_micros)s, dispatch_time = now(),
    downgrade_reason = %(downgrade_reason)s, downgrade_budget = %(downgrade_budget)s
WHERE generation_id = %(generation_id)s AND attempt = %(attempt)s
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: write_remote_id
UPDATE generation_attempt SET remote_id = %(remote_id)s
WHERE generation_id = %(generation_id)s AND attempt = %(attempt)s
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: write_answer
UPDATE generation_attempt
SET state = 'ANSWERED', actual_micros = %(actual_micros)s, actual_images = %(actual_images)s,
    presumed_spent = %(presumed_spent)s, usage = %(usage)s, error_reason = %(error_reason)s,
    error_message = %(error_message)s, retry_time = now() + %(retry)s::interval, elsewhere = %(elsewhere)s,
    error_class = %(error_class)s, error_body = %(error_body)s, request_id = %(request_id)s
WHERE generation_id = %(generation_id)s AND attempt = %(attempt)s
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: insert_artifact
INSERT INTO artifact (artifact_id, generation_id, position, object_key, media_type, size_bytes, sha256)
VALUES (%(artifact_id)s, %(generation_id)s, %(position)s, %(object_key)s,
        %(media_type)s, %(size_bytes)s, %(sha256)s)
ON CONFLICT (artifact_id) DO NOTHING;

-- name: write_failure
UPDATE generation_attempt
SET state = 'FAILED', reservation_id = coalesce(%(reservation_id)s, reservation_id),
    error_reason = %(error_reason)s, error_message = %(error_message)s, retry_time = now() + %(retry)s::interval,
    elsewhere = %(elsewhere)s, error_class = %(error_class)s, error_body = %(error_body)s, request_id = %(request_id)s
WHERE generation_id = %(generation_id)s AND attempt = %(attempt)s
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: settle_attempt
UPDATE generation_attempt
SET state = %(state)s, charged_micros = %(charged_micros)s, settle_time = now()
WHERE generation_id = %(generation_id)s AND attempt = %(attempt)s
RETURNING *, extract(epoch FROM now() - dispatch_time)::float8 AS dispatch_age_s,
          extract(epoch FROM retry_time - now())::float8 AS retry_s;

-- name: put_back_for_retry
UPDATE generation
SET state = 'QUEUED', lease_owner = NULL, lease_until = NULL, crash_count = 0, stage = '',
    progress_percent = NULL, cost_micros = settled.charged_micros,
    next_try_time = CASE WHEN cancel_time IS NULL THEN coalesce(settled.retry_time, now()) ELSE now() END
FROM (
    SELECT coalesce(sum(charged_micros), 0)::bigint AS charged_micros, max(retry_time) AS retry_time
    FROM generation_attempt WHERE generation_id = %(generation_id)s
) AS settled
WHERE generation_id = %(generation_id)s
RETURNING extract(epoch FROM least(deadline_time, next_try_time) - now())::float8 AS seconds;

-- name: end_generation
-- What was charged is charged, also by attempts that failed.
UPDATE generation
SET state = %(state)s, provider = %(provider)s, model = %(model)s, downgraded = %(downgraded)s,
    downgrade_reason = %(downgrade_reason)s, downgrade_budget = %(downgrade_budget)s,
    reservation_id = %(reservation_id)s, cached = %(cached)s, saved_micros = %(saved_micros)s,
    error_reason = %(error_reason)s, error_message = %(error_message)s, stage = '', progress_percent = NULL,
    dead_time = CASE WHEN %(dead)s THEN now() END,
    cost_micros = (
        SELECT coalesce(sum(charged_micros), 0)::bigint FROM generation_attempt
        WHERE generation_id = %(generation_id)s
    ),
    lease_owner = NULL, lease_until = NULL, end_time = now()
WHERE generation_id = %(generation_id)s;

-- name: write_progress
-- Holds no claim, and needs none: whoever has lost it finds no row.
UPDATE generation SET stage = %(stage)s, progress_percent = %(percent)s
WHERE generation_id = %(generation_id)s AND fence = %(fence)s AND state = 'RUNNING';

-- name: lock_join_key
-- Of identical generations that begin at the same moment, one looks for its leader at a time.
SELECT pg_advisory_xact_lock(%(lock)s);

-- name: find_leader
-- Keeps it from ending until this transaction has: what it then ends are all its followers.
SELECT generation_id FROM generation
WHERE join_key = %(join_key)s AND state IN ('QUEUED', 'RUNNING') AND generation_id <> %(generation_id)s
FOR SHARE;

-- name: follow
UPDATE generation
SET leader_id = %(leader_id)s, state = 'QUEUED', lease_owner = NULL, lease_until = NULL, crash_count = 0
WHERE generation_id = %(generation_id)s;

-- name: lead
UPDATE generation SET join_key = %(join_key)s, leader_id = NULL WHERE generation_id = %(generation_id)s;

-- name: end_followers
-- Before the leader ends, which releases those that are left. What it has of an entry that was made for another text is
-- for those that ask the same of the cache, under the same policy: others may allow less.
WITH followers AS (
    UPDATE generation
    SET state = 'SUCCEEDED', provider = %(provider)s, model = %(model)s, cached = 'joined',
        saved_micros = %(saved_micros)s, end_time = now()
    FROM generation AS leader
    WHERE leader.generation_id = %(generation_id)s AND generation.leader_id = leader.generation_id
      AND generation.state = 'QUEUED' AND (
        %(same_text)s OR (
            generation.account = leader.account AND generation.reuse = leader.reuse
            AND generation.context IS NOT DISTINCT FROM leader.context
        )
    )
    RETURNING generation.generation_id, generation.tenant, generation.account
), joined AS (
    INSERT INTO cache_hit (generation_id, tenant, account, source_generation_id, stage, saved_micros)
    SELECT generation_id, tenant, account, %(source_id)s, 'joined', %(saved_micros)s FROM followers
)
INSERT INTO artifact (artifact_id, generation_id, position, object_key, media_type, size_bytes, sha256)
SELECT followers.generation_id || '/' || position, followers.generation_id, position, object_key, media_type,
       size_bytes, sha256
FROM followers CROSS JOIN artifact WHERE artifact.generation_id = %(generation_id)s;

-- name: end_overdue
-- Ends what waits past its deadline and has nothing unsettled; whatever else has to be claimed for it.
UPDATE generation
SET state = 'FAILED', error_reason = 'deadline_exceeded',
    error_message = 'Its deadline has passed.', end_time = now()
WHERE generation_id IN (
    SELECT generation_id FROM generation
    WHERE state = 'QUEUED' AND deadline_time <= now() AND cancel_time IS NULL AND NOT EXISTS (
        SELECT FROM generation_attempt AS attempt WHERE attempt.generation_id = generation.generation_id
        AND attempt.state IN ('RESERVING', 'DISPATCHED', 'ANSWERED', 'FAILED')
    )
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
);

-- name: delete_expired_cache_entries
DELETE FROM cache_entry WHERE entry_id IN (
    SELECT entry_id FROM cache_entry WHERE expire_time <= now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED
);

-- name: try_reconciler_lock
-- One reconciler at a time is enough; the lock goes with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('paymaster.workers.reconciler', 0)) AS locked;

-- name: unleased_generations
-- What should be in a queue: open, with nobody at work on it, and not only just written.
SELECT generation_id, kind, requeue_number FROM generation
WHERE state IN ('QUEUED', 'RUNNING') AND generation_id > %(after)s
  AND coalesce(lease_until, now()) <= now() AND create_time <= now() - %(grace)s
ORDER BY generation_id LIMIT %(limit)s;

-- name: raise_requeue_numbers
UPDATE generation SET requeue_number = requeue_number + 1
WHERE generation_id = ANY(%(generation_ids)s)
RETURNING generation_id, kind, requeue_number, priority, create_time, next_try_time;

-- name: find_artifacts
SELECT artifact.* FROM artifact JOIN generation USING (generation_id)
WHERE artifact_id = ANY(%(artifact_ids)s) AND state = 'SUCCEEDED';
