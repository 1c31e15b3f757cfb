-- Named parts of the statements that keep the sums of the usage log; ledger/usage_sums.py puts them together.

-- name: quarters
-- Sums `events`, which comes before it, by quarters of an hour: the smallest that is kept.
combined AS (
    SELECT tenant, account, user_name, date_bin('15 minutes', event_time, '2000-01-01 00:00+00') AS quarter,
        hashtextextended(
            concat_ws(
                E'\n', kind, provider, model, size, quality, outcome, cached, downgraded::text, downgrade_reason,
                fallback::text, presumed_spent::text, late::text, error_class, reason
            ), 0
        ) AS combination,
        hashtextextended(concat_ws(E'\n', kind, provider, model, size, quality), 0) AS work,
        kind, provider, model, size, quality, outcome, cached, downgraded, downgrade_reason, fallback, presumed_spent,
        late, error_class, reason,
        images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros, refunded_micros,
        credits_micros, revenue_micros, saved_micros, duration_ms
    FROM events
), quarters AS MATERIALIZED (
    SELECT tenant, account, user_name, quarter, combination,
        -- A combination has one of each.
        min(work) AS work,
        min(kind) AS kind, min(provider) AS provider, min(model) AS model, min(size) AS size, min(quality) AS quality,
        min(outcome) AS outcome, min(cached) AS cached, bool_or(downgraded) AS downgraded, min(downgrade_reason) AS
        downgrade_reason, bool_or(fallback) AS fallback, bool_or(presumed_spent) AS presumed_spent, bool_or(late) AS
        late, min(error_class) AS error_class, min(reason) AS reason,
        count(*) AS event_count,
        usage_sum(sum(images)) AS images, usage_sum(sum(videos)) AS videos, usage_sum(sum(messages)) AS messages,
        usage_sum(sum(input_tokens)) AS input_tokens, usage_sum(sum(output_tokens)) AS output_tokens,
        usage_sum(sum(actual_micros)) AS actual_micros, usage_sum(sum(charged_micros)) AS charged_micros,
        usage_sum(sum(refunded_micros)) AS refunded_micros, usage_sum(sum(credits_micros)) AS credits_micros,
        usage_sum(sum(revenue_micros)) AS revenue_micros, usage_sum(sum(saved_micros)) AS saved_micros,
        usage_sum(coalesce(sum(duration_ms), 0)) AS duration_ms,
        count(duration_ms) AS duration_count
    FROM combined GROUP BY tenant, account, user_name, quarter, combination
)

-- name: placed
-- What is to be in usage_rollup and usage_total for `quarters`, which comes before it, in some grains. The time zone is
-- that which the sums have; a change of the setting makes them anew.
placed AS MATERIALIZED (
    SELECT place.level::smallint, place.grain::smallint, place.bucket, place.tenant, place.account, place.user_name, quarters.combination,
        quarters.work,
        quarters.outcome, quarters.downgraded, quarters.fallback, quarters.presumed_spent, quarters.late,
        quarters.outcome IN ('SUCCEEDED', 'FAILED') AS is_made,
        quarters.event_count, quarters.images, quarters.videos, quarters.messages, quarters.input_tokens,
        quarters.output_tokens, quarters.actual_micros, quarters.charged_micros, quarters.refunded_micros,
        quarters.credits_micros, quarters.revenue_micros, quarters.saved_micros, quarters.duration_ms,
        quarters.duration_count
    FROM quarters CROSS JOIN usage_calendar CROSS JOIN LATERAL (
        SELECT date_trunc('hour', quarter, time_zone) AS hour, date_trunc('day', quarter, time_zone) AS day
    ) AS calendar CROSS JOIN LATERAL (
        VALUES
        (0, 60, hour, '', '', ''), (0, 1440, day, '', '', ''),
        (1, 60, hour, quarters.tenant, '', ''), (1, 1440, day, quarters.tenant, '', ''),
        (2, 15, quarter, quarters.tenant, quarters.account, ''), (2, 60, hour, quarters.tenant, quarters.account, ''),
        (2, 1440, day, quarters.tenant, quarters.account, ''),
        (3, 15, quarter, quarters.tenant, quarters.account, quarters.user_name),
        (3, 60, hour, quarters.tenant, quarters.account, quarters.user_name),
        (3, 1440, day, quarters.tenant, quarters.account, quarters.user_name)
    ) AS place (level, grain, bucket, tenant, account, user_name)
    WHERE (place.level < 3 OR place.user_name <> '') AND place.grain = ANY(%(grains)s::int[])
), rollups AS (
    SELECT level, grain, bucket, tenant, account, user_name, combination, sum(event_count)::bigint AS event_count,
        usage_sum(sum(images)) AS images, usage_sum(sum(videos)) AS videos, usage_sum(sum(messages)) AS messages,
        usage_sum(sum(input_tokens)) AS input_tokens, usage_sum(sum(output_tokens)) AS output_tokens,
        usage_sum(sum(actual_micros)) AS actual_micros, usage_sum(sum(charged_micros)) AS charged_micros,
        usage_sum(sum(refunded_micros)) AS refunded_micros, usage_sum(sum(credits_micros)) AS credits_micros,
        usage_sum(sum(revenue_micros)) AS revenue_micros, usage_sum(sum(saved_micros)) AS saved_micros,
        usage_sum(sum(duration_ms)) AS duration_ms, sum(duration_count)::bigint AS duration_count
    FROM placed WHERE level < 2 OR grain <> 60 GROUP BY level, grain, bucket, tenant, account, user_name, combination
), totals AS (
    SELECT level, grain, bucket, tenant, account, user_name,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'SUCCEEDED'), 0)::bigint AS succeeded_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'FAILED'), 0)::bigint AS failed_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'PART'), 0)::bigint AS part_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'DENIED'), 0)::bigint AS denied_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'RELEASED'), 0)::bigint AS released_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'EXPIRED'), 0)::bigint AS expired_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'REFUNDED'), 0)::bigint AS refunded_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'ADJUSTED'), 0)::bigint AS adjusted_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'HIT'), 0)::bigint AS hit_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'REVERSED'), 0)::bigint AS reversed_count,
        coalesce(sum(event_count) FILTER (WHERE downgraded AND is_made), 0)::bigint AS downgraded_count,
        coalesce(sum(event_count) FILTER (WHERE fallback AND is_made), 0)::bigint AS fallback_count,
        coalesce(sum(event_count) FILTER (WHERE presumed_spent AND is_made), 0)::bigint AS presumed_spent_count,
        coalesce(sum(event_count) FILTER (WHERE late AND is_made), 0)::bigint AS late_count,
        usage_sum(sum(images)) AS images, usage_sum(sum(videos)) AS videos, usage_sum(sum(messages)) AS messages,
        usage_sum(sum(input_tokens)) AS input_tokens, usage_sum(sum(output_tokens)) AS output_tokens,
        usage_sum(sum(actual_micros)) AS actual_micros, usage_sum(sum(charged_micros)) AS charged_micros,
        usage_sum(sum(refunded_micros)) AS refunded_micros, usage_sum(sum(credits_micros)) AS credits_micros,
        usage_sum(sum(revenue_micros)) AS revenue_micros, usage_sum(sum(saved_micros)) AS saved_micros,
        usage_sum(sum(duration_ms)) AS duration_ms, sum(duration_count)::bigint AS duration_count
    FROM placed WHERE grain <> 15 GROUP BY level, grain, bucket, tenant, account, user_name
), work_totals AS (
    SELECT level, grain, bucket, tenant, account, user_name, work,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'SUCCEEDED'), 0)::bigint AS succeeded_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'FAILED'), 0)::bigint AS failed_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'PART'), 0)::bigint AS part_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'DENIED'), 0)::bigint AS denied_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'RELEASED'), 0)::bigint AS released_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'EXPIRED'), 0)::bigint AS expired_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'REFUNDED'), 0)::bigint AS refunded_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'ADJUSTED'), 0)::bigint AS adjusted_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'HIT'), 0)::bigint AS hit_count,
        coalesce(sum(event_count) FILTER (WHERE outcome = 'REVERSED'), 0)::bigint AS reversed_count,
        coalesce(sum(event_count) FILTER (WHERE downgraded AND is_made), 0)::bigint AS downgraded_count,
        coalesce(sum(event_count) FILTER (WHERE fallback AND is_made), 0)::bigint AS fallback_count,
        coalesce(sum(event_count) FILTER (WHERE presumed_spent AND is_made), 0)::bigint AS presumed_spent_count,
        coalesce(sum(event_count) FILTER (WHERE late AND is_made), 0)::bigint AS late_count,
        usage_sum(sum(images)) AS images, usage_sum(sum(videos)) AS videos, usage_sum(sum(messages)) AS messages,
        usage_sum(sum(input_tokens)) AS input_tokens, usage_sum(sum(output_tokens)) AS output_tokens,
        usage_sum(sum(actual_micros)) AS actual_micros, usage_sum(sum(charged_micros)) AS charged_micros,
        usage_sum(sum(refunded_micros)) AS refunded_micros, usage_sum(sum(credits_micros)) AS credits_micros,
        usage_sum(sum(revenue_micros)) AS revenue_micros, usage_sum(sum(saved_micros)) AS saved_micros,
        usage_sum(sum(duration_ms)) AS duration_ms, sum(duration_count)::bigint AS duration_count
    FROM placed WHERE grain <> 15 GROUP BY level, grain, bucket, tenant, account, user_name, work
)

-- name: keep_sums
-- Adds `rollups`, `totals` and `work_totals` to those that are kept.
kept_combinations AS (
    INSERT INTO usage_combination
    SELECT DISTINCT ON (combination) combination,
        work, kind, provider, model, size, quality, outcome, cached, downgraded, downgrade_reason, fallback,
        presumed_spent, late, error_class, reason
    FROM quarters
    ON CONFLICT (combination) DO NOTHING
), kept_works AS (
    INSERT INTO usage_work
    SELECT DISTINCT ON (work) work, kind, provider, model, size, quality FROM quarters
    ON CONFLICT (work) DO NOTHING
), kept_rollups AS (
    INSERT INTO usage_rollup AS kept
    SELECT level, grain, bucket, tenant, account, user_name, combination, event_count,
        images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros, refunded_micros,
        credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
    FROM rollups
    ON CONFLICT (level, grain, bucket, tenant, account, user_name, combination) DO UPDATE SET
        event_count = kept.event_count + excluded.event_count, images = usage_added(kept.images, excluded.images), videos =
        usage_added(kept.videos, excluded.videos), messages = usage_added(kept.messages, excluded.messages), input_tokens = usage_added(kept.input_tokens, excluded.input_tokens), output_tokens = usage_added(kept.output_tokens, excluded.output_tokens), actual_micros =
        usage_added(kept.actual_micros, excluded.actual_micros), charged_micros = usage_added(kept.charged_micros, excluded.charged_micros),
        refunded_micros = usage_added(kept.refunded_micros, excluded.refunded_micros), credits_micros = usage_added(kept.credits_micros, excluded.credits_micros), revenue_micros = usage_added(kept.revenue_micros, excluded.revenue_micros), saved_micros =
        usage_added(kept.saved_micros, excluded.saved_micros), duration_ms = usage_added(kept.duration_ms, excluded.duration_ms),
        duration_count = kept.duration_count + excluded.duration_count
), kept_totals AS (
    INSERT INTO usage_total AS kept
    SELECT level, grain, bucket, tenant, account, user_name,
        succeeded_count, failed_count, part_count, denied_count, released_count, expired_count, refunded_count,
        adjusted_count, hit_count, reversed_count, downgraded_count, fallback_count, presumed_spent_count, late_count,
        images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros, refunded_micros,
        credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
    FROM totals
    ON CONFLICT (level, grain, bucket, tenant, account, user_name) DO UPDATE SET
        succeeded_count = kept.succeeded_count + excluded.succeeded_count, failed_count = kept.failed_count +
        excluded.failed_count, part_count = kept.part_count + excluded.part_count, denied_count = kept.denied_count +
        excluded.denied_count, released_count = kept.released_count + excluded.released_count, expired_count =
        kept.expired_count + excluded.expired_count, refunded_count = kept.refunded_count + excluded.refunded_count,
        adjusted_count = kept.adjusted_count + excluded.adjusted_count, hit_count = kept.hit_count +
        excluded.hit_count, reversed_count = kept.reversed_count + excluded.reversed_count, downgraded_count =
        kept.downgraded_count + excluded.downgraded_count, fallback_count = kept.fallback_count +
        excluded.fallback_count, presumed_spent_count = kept.presumed_spent_count + excluded.presumed_spent_count,
        late_count = kept.late_count + excluded.late_count, images = usage_added(kept.images, excluded.images), videos =
        usage_added(kept.videos, excluded.videos), messages = usage_added(kept.messages, excluded.messages), input_tokens = usage_added(kept.input_tokens, excluded.input_tokens), output_tokens = usage_added(kept.output_tokens, excluded.output_tokens), actual_micros =
        usage_added(kept.actual_micros, excluded.actual_micros), charged_micros = usage_added(kept.charged_micros, excluded.charged_micros),
        refunded_micros = usage_added(kept.refunded_micros, excluded.refunded_micros), credits_micros = usage_added(kept.credits_micros, excluded.credits_micros), revenue_micros = usage_added(kept.revenue_micros, excluded.revenue_micros), saved_micros =
        usage_added(kept.saved_micros, excluded.saved_micros), duration_ms = usage_added(kept.duration_ms, excluded.duration_ms),
        duration_count = kept.duration_count + excluded.duration_count
), kept_work_totals AS (
    INSERT INTO usage_work_total AS kept (
        level, grain, bucket, tenant, account, user_name, work,
        succeeded_count, failed_count, part_count, denied_count, released_count, expired_count, refunded_count,
        adjusted_count, hit_count, reversed_count, downgraded_count, fallback_count, presumed_spent_count, late_count,
        images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros, refunded_micros,
        credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
    )
    SELECT level, grain, bucket, tenant, account, user_name, work,
        succeeded_count, failed_count, part_count, denied_count, released_count, expired_count, refunded_count,
        adjusted_count, hit_count, reversed_count, downgraded_count, fallback_count, presumed_spent_count, late_count,
        images, videos, messages, input_tokens, output_tokens, actual_micros, charged_micros, refunded_micros,
        credits_micros, revenue_micros, saved_micros, duration_ms, duration_count
    FROM work_totals
    ON CONFLICT (level, grain, bucket, tenant, account, user_name, work) DO UPDATE SET
        succeeded_count = kept.succeeded_count + excluded.succeeded_count, failed_count = kept.failed_count +
        excluded.failed_count, part_count = kept.part_count + excluded.part_count, denied_count = kept.denied_count +
        excluded.denied_count, released_count = kept.released_count + excluded.released_count, expired_count =
        kept.expired_count + excluded.expired_count, refunded_count = kept.refunded_count + excluded.refunded_count,
        adjusted_count = kept.adjusted_count + excluded.adjusted_count, hit_count = kept.hit_count +
        excluded.hit_count, reversed_count = kept.reversed_count + excluded.reversed_count, downgraded_count =
        kept.downgraded_count + excluded.downgraded_count, fallback_count = kept.fallback_count +
        excluded.fallback_count, presumed_spent_count = kept.presumed_spent_count + excluded.presumed_spent_count,
        late_count = kept.late_count + excluded.late_count, images = usage_added(kept.images, excluded.images), videos =
        usage_added(kept.videos, excluded.videos), messages = usage_added(kept.messages, excluded.messages), input_tokens = usage_added(kept.input_tokens, excluded.input_tokens), output_tokens = usage_added(kept.output_tokens, excluded.output_tokens), actual_micros =
        usage_added(kept.actual_micros, excluded.actual_micros), charged_micros = usage_added(kept.charged_micros, excluded.charged_micros),
        refunded_micros = usage_added(kept.refunded_micros, excluded.refunded_micros), credits_micros = usage_added(kept.credits_micros, excluded.credits_micros), revenue_micros = usage_added(kept.revenue_micros, excluded.revenue_micros), saved_micros =
        usage_added(kept.saved_micros, excluded.saved_micros), duration_ms = usage_added(kept.duration_ms, excluded.duration_ms),
        duration_count = kept.duration_count + excluded.duration_count
)

