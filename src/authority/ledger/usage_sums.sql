-- Parts of the statements that keep the sums of the usage log. ledger/usage_sums.py puts lists of columns where they have
-- braces, and says what is then kept.

-- name: quarters
-- Sums `events`, which comes before it, by quarters of an hour: the smallest that is kept.
combined AS (
    SELECT tenant, account, user_name, date_bin('15 minutes', event_time, '2000-01-01 00:00+00') AS quarter,
        usage_key({combination_texts}) AS combination, usage_key({work}) AS work,
        {combination}, {amounts}, duration_ms
    FROM events
), quarters AS MATERIALIZED (
    SELECT tenant, account, user_name, quarter, combination,
        -- A combination has one of each.
        min(work) AS work, {first_of_combination},
        count(*) AS event_count, {amounts_added},
        usage_sum(coalesce(sum(duration_ms), 0)) AS duration_ms, count(duration_ms) AS duration_count
    FROM combined GROUP BY tenant, account, user_name, quarter, combination
)

-- name: kept_quarters
-- The quarters that are kept, in the same shape: those of users, and of accounts what their users lack.
quarters AS MATERIALIZED (
    SELECT kept.tenant, kept.account, kept.user_name, kept.bucket AS quarter, combination, work, {combination},
        event_count, {measures}
    FROM (
        SELECT tenant, account, user_name, bucket, combination, event_count, {measures}
        FROM usage_rollup WHERE level = 3 AND grain = 15
        UNION ALL
        SELECT tenant, account, '' AS user_name, bucket, combination,
            sum(CASE level WHEN 2 THEN event_count ELSE -event_count END)::bigint, {measures_without_users}
        FROM usage_rollup WHERE level IN (2, 3) AND grain = 15
        GROUP BY tenant, account, bucket, combination
        HAVING sum(CASE level WHEN 2 THEN event_count ELSE -event_count END) <> 0
    ) AS kept JOIN usage_combination USING (combination)
)

-- name: placed
-- Where `quarters`, which comes before it, are to be in the sums of some grains, and what they are there: `rollups` by
-- combination, `work_totals` by what was made, `totals` whatever it was. The time zone is that which the sums have; a change
-- of the setting makes them anew.
placed AS MATERIALIZED (
    SELECT place.level::smallint, place.grain::smallint, place.bucket, place.tenant, place.account, place.user_name,
        combination, work, outcome, downgraded, fallback, presumed_spent, late,
        outcome IN ('SUCCEEDED', 'FAILED') AS is_made, event_count, {measures}
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
    SELECT {place}, combination, sum(event_count)::bigint AS event_count, {measures_added}
    FROM placed WHERE level < 2 OR grain <> 60 GROUP BY {place}, combination
), totals AS (
    SELECT {place}, {counted}, {measures_added} FROM placed WHERE grain <> 15 GROUP BY {place}
), work_totals AS (
    SELECT {place}, work, {counted}, {measures_added} FROM placed WHERE grain <> 15 GROUP BY {place}, work
)

-- name: kept_names
-- Keeps what the keys of `quarters` stand for.
kept_combinations AS (
    INSERT INTO usage_combination (combination, work, {combination})
    SELECT DISTINCT ON (combination) combination, work, {combination} FROM quarters
    ON CONFLICT (combination) DO NOTHING
), kept_works AS (
    INSERT INTO usage_work (work, {work})
    SELECT DISTINCT ON (work) work, {work} FROM quarters
    ON CONFLICT (work) DO NOTHING
)
