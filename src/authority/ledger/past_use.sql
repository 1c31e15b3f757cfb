-- Named statements; ledger/past_use.py reads them by name. They read the sums of the usage log.

-- name: spent_by_accounts
-- By quarters of hours.
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
WHERE rollup.account = ANY(%(accounts)s::text[]) AND rollup.level = 2 AND rollup.grain = 15
  AND rollup.bucket >= %(start)s AND rollup.bucket < %(end)s
  AND usage_combination.outcome NOT IN ('HIT', 'REVERSED', 'DENIED')
GROUP BY span

-- name: spent_by_tenant
-- By hours: a tenant has one row where its accounts have many.
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
WHERE rollup.tenant = %(tenant)s AND rollup.level = 1 AND rollup.grain = 60
  AND rollup.bucket >= %(start)s AND rollup.bucket < %(end)s
  AND usage_combination.outcome NOT IN ('HIT', 'REVERSED', 'DENIED')
GROUP BY span

-- name: charged_by_each
-- What each account was charged in each of some spans; of a tenant with all below it.
SELECT wanted.account, span.position, usage_sum(sum(rollup.charged_micros - rollup.refunded_micros)) AS amount
FROM unnest(%(accounts)s::text[]) AS wanted (account)
CROSS JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS span (start, stop, position)
CROSS JOIN LATERAL (
    SELECT charged_micros, refunded_micros FROM usage_rollup
    WHERE position('/' IN wanted.account) > 0
      AND usage_rollup.account = wanted.account AND level = 2 AND grain = 15 AND bucket >= start AND bucket < stop
    UNION ALL
    SELECT charged_micros, refunded_micros FROM usage_rollup
    WHERE position('/' IN wanted.account) = 0
      AND usage_rollup.tenant = wanted.account AND level = 1 AND grain = 60 AND bucket >= start AND bucket < stop
) AS rollup
GROUP BY wanted.account, span.position
