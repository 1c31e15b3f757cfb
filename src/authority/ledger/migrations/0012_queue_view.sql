-- What operators look at: how many generations came in, and how many ended, within the last minutes.

-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX generation_by_create_time ON generation (create_time);
-- Those that nobody likes have an index of their own, by which they are deleted.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX generation_favourite_by_end ON generation (end_time) WHERE end_time IS NOT NULL AND favourite;
