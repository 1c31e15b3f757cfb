-- name: insert_bill
INSERT INTO bill (
    bill_id, provider, source, format, file_name, content_sha256, line_count, start_day, end_day, billed_usd, actor, reason,
    create_time
)
VALUES (
    %(bill_id)s, %(provider)s, %(source)s, %(form)s, %(file_name)s, %(content_sha256)s, %(line_count)s, %(start_day)s,
    %(end_day)s, %(billed_usd)s, %(actor)s, %(reason)s, %(create_time)s
)
ON CONFLICT (provider, source, content_sha256) WHERE withdraw_time IS NULL DO NOTHING;

-- name: copy_lines
COPY bill_line (bill_id, line_number, day, model, billed_model, item, quantity, billed_usd) FROM STDIN;

-- name: find_content
SELECT bill.* FROM bill
WHERE provider = %(provider)s AND source = %(source)s AND content_sha256 = %(content_sha256)s AND withdraw_time IS NULL;

-- name: list_bills
SELECT bill.* FROM bill
WHERE (%(provider)s = '' OR provider = %(provider)s) AND (%(before)s = 0 OR bill_number < %(before)s)
ORDER BY bill_number DESC LIMIT %(limit)s;

-- name: withdraw_bill
UPDATE bill SET withdraw_time = %(now)s WHERE bill_id = %(bill_id)s AND withdraw_time IS NULL;

-- name: read_bill
SELECT bill.* FROM bill WHERE bill_id = %(bill_id)s;

-- Everything below begins with the same: which bill counts for a provider, a source and a day; what was billed, what is
-- booked and what was adjusted by day, provider and model.
-- name: bill_days
WITH counting AS (
    SELECT DISTINCT ON (provider, source, day) provider, source, day, bill_id
    FROM bill
    CROSS JOIN LATERAL (
        SELECT greatest(start_day, %(start_day)s::date) + passed AS day
        FROM generate_series(0, least(end_day, %(end_day)s::date) - greatest(start_day, %(start_day)s::date)) AS passed
    ) AS covered
    WHERE withdraw_time IS NULL AND start_day <= %(end_day)s AND end_day >= %(start_day)s
        AND (%(provider)s = '' OR provider = %(provider)s)
    ORDER BY provider, source, day, bill_number DESC
),
covered AS (SELECT DISTINCT provider, day FROM counting),
billed AS (
    SELECT counting.day, counting.provider, bill_line.model, round(sum(bill_line.billed_usd) * 1000000)::bigint AS billed
    FROM counting
    INNER JOIN bill_line ON bill_line.bill_id = counting.bill_id AND bill_line.day = counting.day
    WHERE %(model)s = '' OR bill_line.model = %(model)s
    GROUP BY counting.day, counting.provider, bill_line.model
),
booked AS (
    SELECT
        day,
        provider,
        model,
        usage_sum(coalesce(sum(cost_micros) FILTER (WHERE NOT presumed), 0)) AS known,
        usage_sum(coalesce(sum(cost_micros) FILTER (WHERE presumed), 0)) AS estimated,
        count(*) AS call_count,
        count(*) FILTER (WHERE presumed) AS presumed_count
    FROM provider_call
    WHERE call_time >= %(start_day)s::date::timestamp AT TIME ZONE 'UTC'
        AND call_time < (%(end_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
        AND (%(provider)s = '' OR provider = %(provider)s) AND (%(model)s = '' OR model = %(model)s)
    GROUP BY day, provider, model
),
adjusted AS (
    SELECT
        adjustment.day,
        adjustment.provider,
        adjustment.model,
        coalesce(sum(part.cost_micros) FILTER (WHERE part.generation_id IS NOT NULL), 0)::bigint AS adjusted_presumed,
        coalesce(sum(part.cost_micros) FILTER (WHERE part.generation_id IS NULL), 0)::bigint AS adjusted_other
    FROM bill_adjustment AS adjustment
    INNER JOIN bill_adjustment_part AS part ON part.adjustment_id = adjustment.adjustment_id
    WHERE adjustment.day BETWEEN %(start_day)s AND %(end_day)s
        AND (%(provider)s = '' OR adjustment.provider = %(provider)s)
        AND (%(model)s = '' OR adjustment.model = %(model)s)
    GROUP BY adjustment.day, adjustment.provider, adjustment.model
),
bill_day AS (
    SELECT
        day,
        provider,
        model,
        covered.day IS NOT NULL AS covered,
        coalesce(billed, 0) AS billed,
        coalesce(known, 0) AS known,
        coalesce(estimated, 0) AS estimated,
        coalesce(adjusted_presumed, 0) AS adjusted_presumed,
        coalesce(adjusted_other, 0) AS adjusted_other,
        coalesce(call_count, 0) AS call_count,
        coalesce(presumed_count, 0) AS presumed_count
    FROM billed
    FULL JOIN booked USING (day, provider, model)
    FULL JOIN adjusted USING (day, provider, model)
    LEFT JOIN covered USING (day, provider)
)

-- name: list_bill_days
SELECT * FROM bill_day
WHERE (
    %(after_day)s::date IS NULL OR day < %(after_day)s
    OR (day = %(after_day)s AND (provider, model) > (%(after_provider)s, %(after_model)s))
) AND (
    %(difference_min)s::bigint = 0
    OR (covered AND abs(billed - known - estimated - adjusted_presumed - adjusted_other) >= %(difference_min)s)
)
ORDER BY day DESC, provider ASC, model ASC LIMIT %(limit)s;

-- name: list_presumed
, left_over AS (
    SELECT
        bill_day.day,
        bill_day.provider,
        bill_day.model,
        bill_day.covered,
        attempt.generation_id,
        attempt.attempt,
        generation.account,
        attempt.dispatch_time AS call_time,
        attempt.actual_micros AS booked,
        coalesce(corrected.micros, 0) AS adjusted,
        coalesce(attempt.charged_micros, 0) AS charged,
        coalesce(attempt.reservation_id, '') AS reservation_id,
        coalesce(attempt.remote_id, '') AS remote_id,
        greatest(attempt.actual_micros + coalesce(corrected.micros, 0), 0) AS micros,
        CASE
            WHEN bill_day.covered
                THEN greatest(bill_day.billed - bill_day.known - bill_day.adjusted_other, 0)
            ELSE 0
        END AS billed_beyond
    FROM generation_attempt AS attempt
    INNER JOIN generation ON generation.generation_id = attempt.generation_id
    INNER JOIN bill_day
        ON
            bill_day.day = (attempt.dispatch_time AT TIME ZONE 'UTC')::date
            AND bill_day.provider = attempt.provider AND bill_day.model = attempt.model
    LEFT JOIN LATERAL (
        SELECT sum(part.cost_micros)::bigint AS micros FROM bill_adjustment_part AS part
        WHERE part.generation_id = attempt.generation_id AND part.attempt = attempt.attempt
    ) AS corrected ON true
    WHERE attempt.state = 'COMMITTED' AND attempt.presumed_spent
        AND attempt.dispatch_time >= %(start_day)s::date::timestamp AT TIME ZONE 'UTC'
        AND attempt.dispatch_time < (%(end_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
),
-- What the bill has beyond calls of known cost goes to the first of them, then to the next.
matched AS (
    SELECT
        left_over.*,
        least(
            micros,
            greatest(
                billed_beyond + micros
                - sum(micros) OVER (PARTITION BY day, provider, model ORDER BY call_time, generation_id, attempt), 0
            )
        )::bigint AS billed
    FROM left_over
)
SELECT
    day, provider, model, covered, generation_id, attempt, account, call_time, booked, adjusted, charged,
    reservation_id, remote_id, billed
FROM matched
WHERE %(after_day)s::date IS NULL OR day < %(after_day)s OR (
    day = %(after_day)s AND (provider, model, call_time, generation_id, attempt)
    > (%(after_provider)s, %(after_model)s, %(after_time)s::timestamptz, %(after_generation)s, %(after_attempt)s)
)
ORDER BY day DESC, provider ASC, model ASC, call_time ASC, generation_id ASC, attempt ASC LIMIT %(limit)s;

-- name: book_by_tenant
SELECT tenant, sum(cost_micros)::bigint AS micros FROM provider_call
WHERE call_time >= %(start_day)s::date::timestamp AT TIME ZONE 'UTC'
    AND call_time < (%(start_day)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND provider = %(provider)s AND model = %(model)s AND NOT presumed
GROUP BY tenant;

-- name: lock_adjustment
SELECT pg_advisory_xact_lock(hashtextextended('paymaster.bill.' || %(name)s, 0));

-- name: find_adjustment
SELECT adjustment_id, request FROM bill_adjustment WHERE idempotency_key = %(idempotency_key)s;

-- name: dropped_before
-- Whether events of a day are kept no more.
SELECT kept_from FROM usage_calendar WHERE kept_from > %(day)s::date::timestamp AT TIME ZONE 'UTC';

-- name: insert_adjustment
INSERT INTO bill_adjustment (
    adjustment_id, idempotency_key, request, provider, model, day, actor, reason, create_time
)
VALUES (
    %(adjustment_id)s, %(idempotency_key)s, %(request)s, %(provider)s, %(model)s, %(day)s, %(actor)s, %(reason)s,
    %(create_time)s
);

-- name: insert_parts
INSERT INTO bill_adjustment_part (
    adjustment_id, position, account, cost_micros, generation_id, attempt, reservation_id, refund
)
SELECT
    %(adjustment_id)s, position, account, cost, nullif(generation_id, ''), nullif(attempt, 0), nullif(reservation_id, ''),
    refund
FROM unnest(
    %(position)s::bigint [], %(account)s::text [], %(cost)s::bigint [], %(generation_id)s::text [], %(attempt)s::bigint [],
    %(reservation_id)s::text [], %(refund)s::text []
) AS part (position, account, cost, generation_id, attempt, reservation_id, refund);

-- name: finish_part
UPDATE bill_adjustment_part
SET refunded_micros = %(refunded)s, finish_time = now()
WHERE adjustment_id = %(adjustment_id)s AND position = %(position)s AND finish_time IS NULL;

-- name: finish_adjustment
UPDATE bill_adjustment SET finish_time = now()
WHERE adjustment_id = %(adjustment_id)s AND finish_time IS NULL AND NOT EXISTS (
    SELECT FROM bill_adjustment_part AS part
    WHERE part.adjustment_id = bill_adjustment.adjustment_id AND part.finish_time IS NULL
);

-- name: read_adjustments
SELECT bill_adjustment.* FROM bill_adjustment
WHERE (%(adjustment_id)s = '' OR adjustment_id = %(adjustment_id)s)
    AND (%(provider)s = '' OR provider = %(provider)s) AND (%(before)s = '' OR adjustment_id < %(before)s)
ORDER BY adjustment_id DESC LIMIT %(limit)s;

-- name: read_parts
SELECT part.* FROM bill_adjustment_part AS part
WHERE part.adjustment_id = any(%(adjustment_ids)s) ORDER BY part.adjustment_id, part.position;

-- name: list_unfinished
SELECT adjustment_id FROM bill_adjustment
WHERE finish_time IS NULL AND NOT adjustment_id = any(%(but)s)
ORDER BY create_time, adjustment_id LIMIT %(limit)s;
