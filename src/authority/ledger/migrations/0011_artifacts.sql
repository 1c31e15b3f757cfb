-- What was made: for whom it is to be seen, and for how long it is kept.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore-file require-concurrent-index-creation

ALTER TABLE generation
-- Kept for as long as somebody likes it.
ADD COLUMN favourite boolean NOT NULL DEFAULT false,
ADD COLUMN visibility text NOT NULL DEFAULT 'PRIVATE' CHECK (visibility IN ('PRIVATE', 'PUBLIC'));
CREATE INDEX generation_by_end ON generation (end_time) WHERE end_time IS NOT NULL AND NOT favourite;

ALTER TABLE artifact
-- Since when it can be had no more, and since when its file is gone: another artifact may have the same file.
ADD COLUMN delete_time timestamptz,
ADD COLUMN purge_time timestamptz;
CREATE INDEX artifact_by_object ON artifact (object_key);
CREATE INDEX artifact_unpurged ON artifact (delete_time) WHERE delete_time IS NOT NULL AND purge_time IS NULL;
