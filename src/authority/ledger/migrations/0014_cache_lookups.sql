-- Counts of what was looked up, by tenant and time.
-- No version before this one was ever released: there is no busy table to block.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX generation_looked_up ON generation (tenant, create_time) WHERE looked_up;
