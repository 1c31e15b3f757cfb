-- Generations that wait for an identical one in flight, providers that an attempt is not to try again, and overdue work.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid, require-concurrent-index-creation

ALTER TABLE generation
-- What a generation in flight is known by to identical ones, which then wait for it: a SHA-256 of tenant and request.
ADD COLUMN join_key bytea,
DROP CONSTRAINT generation_cached_check,
ADD CONSTRAINT generation_cached_check CHECK (cached IN ('', 'exact', 'normalised', 'joined'));
CREATE UNIQUE INDEX generation_leading ON generation (join_key)
WHERE join_key IS NOT NULL AND state IN ('QUEUED', 'RUNNING');
CREATE INDEX generation_overdue ON generation (deadline_time)
WHERE deadline_time IS NOT NULL AND state IN ('QUEUED', 'RUNNING');

-- Its provider has failed in a way that another may not: the next attempt is made elsewhere.
ALTER TABLE generation_attempt ADD COLUMN elsewhere boolean NOT NULL DEFAULT false;

-- Nobody waits for what has ended, whoever has ended it. Those that share its outcome have theirs already by then.
CREATE FUNCTION release_followers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE generation SET leader_id = NULL, next_try_time = now()
    WHERE leader_id = NEW.generation_id AND state = 'QUEUED';
    RETURN NULL;
END
$$;
CREATE TRIGGER generation_ended
AFTER UPDATE OF state ON generation FOR EACH ROW
WHEN (OLD.end_time IS NULL AND NEW.end_time IS NOT NULL)
EXECUTE FUNCTION release_followers();
