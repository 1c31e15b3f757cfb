-- Named statements of ledger/abuse.py.

-- name: refusals
-- When content was refused, by account: of the last day, and after the last case that was told.
SELECT account, array_agg(time_us ORDER BY time_us) AS times_us
FROM (
    SELECT generation.account, (extract(epoch FROM attempt.create_time) * 1000000)::bigint AS time_us
    FROM generation_attempt AS attempt
    JOIN generation USING (generation_id)
    JOIN account USING (account)
    WHERE attempt.error_reason = 'content_refused' AND attempt.create_time > now() - interval '1 day'
) AS refused
WHERE time_us > coalesce((
    SELECT max((details ->> 'through_us')::bigint) FROM alert
    WHERE alert.account = refused.account AND kind = 'ABUSE' AND details ->> 'what' = 'refusals'
), 0)
GROUP BY account;

-- name: freeze_account
UPDATE account SET state = %(state)s, freeze_end_ms = %(freeze_end_ms)s WHERE account = %(account)s
RETURNING account;

-- name: thawing
SELECT account FROM account WHERE freeze_end_ms BETWEEN 1 AND %(now_ms)s ORDER BY account;
