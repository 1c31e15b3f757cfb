-- Generations of every kind, and what steers them: settings, order, deadline, cancelling, joining, dead letters.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file adding-foreign-key-constraint, require-concurrent-index-creation

ALTER TABLE generation
-- What was set besides the common fields, as generations/settings.py writes it.
ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
ADD COLUMN priority text NOT NULL DEFAULT 'NORMAL' CHECK (priority IN ('HIGH', 'NORMAL', 'BATCH')),
-- Not to be begun, nor tried anew, from then on.
ADD COLUMN deadline_time timestamptz,
-- When its cancelling was asked for; who is at work on it sees to it.
ADD COLUMN cancel_time timestamptz,
-- The identical generation in flight whose outcome this one waits for.
ADD COLUMN leader_id text REFERENCES generation,
-- What a running one has come to, where its provider tells: a word, and 0 to 100.
ADD COLUMN stage text NOT NULL DEFAULT '',
ADD COLUMN progress_percent bigint CHECK (progress_percent BETWEEN 0 AND 100),
-- Since when it is a dead letter: FAILED, and neither retried nor discarded since.
ADD COLUMN dead_time timestamptz,
-- Attempts made before it was last retried by hand; they count no more against the limit.
ADD COLUMN forgiven_count bigint NOT NULL DEFAULT 0,
-- The generation that this one was regenerated from, or is a variation of.
ADD COLUMN parent_id text REFERENCES generation;
CREATE INDEX generation_dead ON generation (dead_time, generation_id) WHERE dead_time IS NOT NULL;
CREATE INDEX generation_followers ON generation (leader_id) WHERE leader_id IS NOT NULL;
CREATE INDEX generation_by_parent ON generation (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE generation_attempt
-- The class of workers/providers/errors.py, what the provider said, and its name for the call.
ADD COLUMN error_class text NOT NULL DEFAULT '',
ADD COLUMN error_body text NOT NULL DEFAULT '',
ADD COLUMN request_id text NOT NULL DEFAULT '';

-- Whoever watches a generation listens for its id.
CREATE FUNCTION notify_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('generation', NEW.generation_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER generation_changed
AFTER UPDATE OF state, stage, progress_percent ON generation FOR EACH ROW
WHEN (
    (OLD.state, OLD.stage, OLD.progress_percent) IS DISTINCT FROM (NEW.state, NEW.stage, NEW.progress_percent)
)
EXECUTE FUNCTION notify_generation();
