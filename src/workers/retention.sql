-- Named statements of workers/retention.py.

-- name: try_retention_lock
-- One at a time is enough; the lock goes with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('paymaster.workers.retention', 0)) AS locked;

-- name: delete_artifacts
-- Deletes what is older than it is to be kept, and lets the cache serve it no more.
WITH old AS (
    SELECT artifact_id, generation_id FROM artifact JOIN generation USING (generation_id)
    WHERE end_time IS NOT NULL AND NOT favourite AND end_time <= now() - %(retention)s AND delete_time IS NULL
    LIMIT %(limit)s
), forgotten AS (
    DELETE FROM cache_entry WHERE generation_id IN (SELECT generation_id FROM old)
)
UPDATE artifact SET delete_time = now() FROM old WHERE artifact.artifact_id = old.artifact_id
RETURNING artifact.artifact_id;

-- name: unpurged_objects
-- Files that no artifact has any more, and that nobody can be serving from the cache.
SELECT object_key FROM artifact
WHERE delete_time <= now() - %(grace)s AND purge_time IS NULL AND NOT EXISTS (
    SELECT FROM artifact AS other WHERE other.object_key = artifact.object_key
    AND (other.delete_time IS NULL OR other.delete_time > now() - %(grace)s)
)
GROUP BY object_key LIMIT %(limit)s;

-- name: write_purged
UPDATE artifact SET purge_time = now() WHERE object_key = ANY(%(object_keys)s) AND delete_time IS NOT NULL;
