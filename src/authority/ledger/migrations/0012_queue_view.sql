-- What operators look at: how many generations came in, and how many ended, within the last minutes.

CREATE INDEX generation_by_create_time ON generation (create_time);
-- Those that nobody likes have an index of their own, by which they are deleted.
CREATE INDEX generation_favourite_by_end ON generation (end_time) WHERE end_time IS NOT NULL AND favourite;
