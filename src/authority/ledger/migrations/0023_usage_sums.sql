-- Hours of accounts and users, whatever the combination and by what was made: without them the ends of a time are read of
-- quarters of an hour by combination, of which there are many times more.

-- Which sums are kept: 1 without these hours, 2 with them. Those of 1 are counted anew as an authority starts.
ALTER TABLE usage_calendar ADD COLUMN layout bigint NOT NULL DEFAULT 2;
UPDATE usage_calendar SET layout = 1 WHERE EXISTS (SELECT FROM usage_total);
