-- Named statements; ledger/past_use.py reads them by name. They read the sums of the usage log.

-- name: spent
-- Quarters of hours of accounts; hours of a whole tenant, which has one row where accounts have many.
SELECT width_bucket(rollup.bucket, %(boundaries)s::timestamptz[]) AS span,
       sum(CASE %(unit)s
           WHEN 'USD' THEN rollup.charged_micros - rollup.refunded_micros
           WHEN 'CREDITS' THEN rollup.credits_micros
           WHEN 'IMAGES' THEN rollup.images
           WHEN 'VIDEOS' THEN rollup.videos
           WHEN 'MESSAGES' THEN rollup.messages
       END)::bigint AS amount
FROM usage_rollup AS rollup
JOIN usage_combination USING (combination)
WHERE rollup.tenant = %(tenant)s
  AND (%(whole)s AND rollup.level = 1 AND rollup.grain = 60
       OR NOT %(whole)s AND rollup.level = 2 AND rollup.grain = 15
          AND rollup.account = ANY(%(accounts)s::text[]))
  AND rollup.bucket >= %(start)s AND rollup.bucket < %(end)s
  AND usage_combination.outcome NOT IN ('HIT', 'REVERSED', 'DENIED')
GROUP BY span
