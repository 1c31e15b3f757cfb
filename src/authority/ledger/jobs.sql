-- Named statements of ledger/jobs.py.

-- name: open_jobs
SELECT generation_id, kind, state AS generation_state, requeue_number, coalesce(lease_owner, '') AS owner,
       state = 'RUNNING' AND coalesce(lease_until > now(), false) AS is_leased,
       greatest(create_time, next_try_time) AS due_time, dead_time
FROM generation WHERE state IN ('QUEUED', 'RUNNING') AND generation_id > %(after)s
ORDER BY generation_id LIMIT %(limit)s;

-- name: open_job_names
-- Those of the names in Redis that are of an open generation's job.
SELECT generation_id || ':' || requeue_number AS job_id FROM generation
WHERE generation_id = ANY(%(generation_ids)s) AND state IN ('QUEUED', 'RUNNING');

-- name: list_jobs
-- Each part has an index of its own.
SELECT generation_id, kind, state AS generation_state, requeue_number, coalesce(lease_owner, '') AS owner,
       state = 'RUNNING' AND coalesce(lease_until > now(), false) AS is_leased,
       greatest(create_time, next_try_time) AS due_time, dead_time, tenant, account, priority, attempt_count,
       coalesce(nullif(job.provider, ''), last.provider, '') AS provider,
       coalesce(nullif(job.model, ''), last.model, '') AS model,
       CASE WHEN state = 'SUCCEEDED' THEN ''
            ELSE coalesce(nullif(job.error_reason, ''), last.error_reason, '') END AS error_reason,
       CASE WHEN state = 'SUCCEEDED' THEN ''
            ELSE coalesce(nullif(job.error_message, ''), last.error_message, '') END AS error_message,
       stage, progress_percent, cost_micros, create_time, start_time, end_time, next_try_time, deadline_time,
       cancel_time, coalesce(leader_id, '') AS leader_id, CASE WHEN %(with_prompt)s THEN prompt ELSE '' END AS prompt
FROM (
    SELECT * FROM generation WHERE %(open)s AND state IN ('QUEUED', 'RUNNING')
    UNION ALL
    SELECT * FROM generation WHERE %(dead)s AND dead_time IS NOT NULL
    UNION ALL
    SELECT * FROM generation WHERE %(ended)s AND end_time IS NOT NULL AND dead_time IS NULL
) AS job
LEFT JOIN LATERAL (
    SELECT provider, model, error_reason, error_message FROM generation_attempt
    WHERE generation_attempt.generation_id = job.generation_id ORDER BY attempt DESC LIMIT 1
) AS last ON true
WHERE generation_id > %(after)s
  AND %(tenant)s IN ('', tenant) AND %(account)s IN ('', account, tenant) AND %(kind)s IN ('', kind)
  AND %(provider)s IN ('', coalesce(nullif(job.provider, ''), last.provider, ''))
  AND %(error_reason)s IN ('', coalesce(nullif(job.error_reason, ''), last.error_reason, ''))
  AND (%(older_than)s::interval IS NULL OR coalesce(dead_time, create_time) <= now() - %(older_than)s)
ORDER BY generation_id LIMIT %(limit)s;

-- name: find_jobs
SELECT generation_id, kind, state AS generation_state, requeue_number, coalesce(lease_owner, '') AS owner,
       state = 'RUNNING' AND coalesce(lease_until > now(), false) AS is_leased,
       greatest(create_time, next_try_time) AS due_time, dead_time, tenant, account, priority, attempt_count,
       coalesce(nullif(job.provider, ''), last.provider, '') AS provider,
       coalesce(nullif(job.model, ''), last.model, '') AS model,
       CASE WHEN state = 'SUCCEEDED' THEN ''
            ELSE coalesce(nullif(job.error_reason, ''), last.error_reason, '') END AS error_reason,
       CASE WHEN state = 'SUCCEEDED' THEN ''
            ELSE coalesce(nullif(job.error_message, ''), last.error_message, '') END AS error_message,
       stage, progress_percent, cost_micros, create_time, start_time, end_time, next_try_time, deadline_time,
       cancel_time, coalesce(leader_id, '') AS leader_id, CASE WHEN %(with_prompt)s THEN prompt ELSE '' END AS prompt
FROM generation AS job
LEFT JOIN LATERAL (
    SELECT provider, model, error_reason, error_message FROM generation_attempt
    WHERE generation_attempt.generation_id = job.generation_id ORDER BY attempt DESC LIMIT 1
) AS last ON true
WHERE generation_id = ANY(%(generation_ids)s)
ORDER BY generation_id;

-- name: figures
WITH ended AS (
    SELECT kind, state, create_time, start_time, end_time FROM generation
    WHERE end_time > now() - %(window)s AND NOT favourite
    UNION ALL
    SELECT kind, state, create_time, start_time, end_time FROM generation
    WHERE end_time > now() - %(window)s AND favourite
), ends AS (
    SELECT kind, count(*) AS ended, count(*) FILTER (WHERE state = 'FAILED') AS failed,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
               ORDER BY extract(epoch FROM start_time - create_time)::float8) AS waits,
           percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
               ORDER BY extract(epoch FROM end_time - start_time)::float8) AS runs
    FROM ended GROUP BY kind
), begins AS (
    SELECT kind, count(*) AS submitted FROM generation WHERE create_time > now() - %(window)s GROUP BY kind
), letters AS (
    SELECT kind, count(*) AS dead FROM generation WHERE dead_time IS NOT NULL GROUP BY kind
)
SELECT kind, coalesce(submitted, 0) AS submitted, coalesce(ended, 0) AS ended, coalesce(failed, 0) AS failed,
       coalesce(dead, 0) AS dead, waits[1] AS wait_p50_s, waits[2] AS wait_p95_s, runs[1] AS run_p50_s,
       runs[2] AS run_p95_s
FROM ends FULL JOIN begins USING (kind) FULL JOIN letters USING (kind);

-- name: dead_reasons
SELECT error_reason, count(*) AS count FROM generation WHERE dead_time IS NOT NULL
GROUP BY error_reason ORDER BY count(*) DESC, error_reason;

-- name: promote_jobs
-- One that waits for its leader has nothing to do before that one has ended.
WITH chosen AS (
    SELECT generation_id FROM generation
    WHERE generation_id = ANY(%(generation_ids)s) AND state = 'QUEUED' AND leader_id IS NULL
    ORDER BY generation_id FOR UPDATE
)
UPDATE generation SET next_try_time = least(next_try_time, now())
FROM chosen WHERE generation.generation_id = chosen.generation_id
RETURNING generation.generation_id, kind, requeue_number, priority, create_time, next_try_time;

-- name: requeue_jobs
-- A new name, as arq refuses that of a job that has ended a moment ago.
WITH chosen AS (
    SELECT generation_id FROM generation
    WHERE generation_id = ANY(%(generation_ids)s) AND state IN ('QUEUED', 'RUNNING')
      AND coalesce(lease_until, now()) <= now()
    ORDER BY generation_id FOR UPDATE
)
UPDATE generation SET requeue_number = requeue_number + 1
FROM chosen WHERE generation.generation_id = chosen.generation_id
RETURNING generation.generation_id, kind, requeue_number, priority, create_time, next_try_time;
