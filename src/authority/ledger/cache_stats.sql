-- Named statements of ledger/cache_stats.py. `accounts` is null for all of the tenant, `tenant` '' for all tenants.

-- name: count_lookups
SELECT count(*) AS count FROM generation
WHERE looked_up AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
  AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz;

-- name: count_skips
SELECT skipped.key AS stage, skipped.value AS reason, count(*) AS count
FROM generation CROSS JOIN LATERAL jsonb_each_text(lookup -> 'skipped') AS skipped
WHERE looked_up AND (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
  AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz
  AND jsonb_typeof(lookup -> 'skipped') = 'object'
GROUP BY skipped.key, skipped.value ORDER BY count DESC, stage, reason LIMIT 100;

-- name: count_hits
SELECT stage, count(*) AS hit_count, coalesce(sum(saved_micros), 0)::bigint AS saved,
       coalesce(sum(saved_micros) FILTER (WHERE reversed_time IS NOT NULL), 0)::bigint AS reversed,
       count(*) FILTER (WHERE verdict = 'MATCH') AS match_count,
       count(*) FILTER (WHERE verdict = 'MISMATCH') AS mismatch_count
FROM cache_hit
WHERE (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
  AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz
GROUP BY stage;

-- name: count_samples
SELECT count(*) AS sample_count, count(verdict) AS judged_sample_count FROM cache_sample
WHERE (%(tenant)s = '' OR tenant = %(tenant)s)
  AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
  AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz;

-- name: top_entries
WITH used AS (
    SELECT entry_id, count(*) AS hit_count,
           coalesce(sum(saved_micros) FILTER (WHERE reversed_time IS NULL), 0)::bigint AS saved
    FROM cache_hit
    WHERE entry_id IS NOT NULL AND (%(tenant)s = '' OR tenant = %(tenant)s)
      AND (%(accounts)s::text[] IS NULL OR account = ANY(%(accounts)s::text[]))
      AND create_time >= %(start)s::timestamptz AND create_time < %(end)s::timestamptz
    GROUP BY entry_id ORDER BY hit_count DESC, entry_id LIMIT %(limit)s
)
SELECT used.*, coalesce(generation.prompt, '') AS prompt, coalesce(entry.model, '') AS model
FROM used LEFT JOIN cache_entry AS entry USING (entry_id) LEFT JOIN generation USING (generation_id)
ORDER BY hit_count DESC, entry_id;

-- name: count_entries
SELECT count(*) AS count FROM cache_entry
WHERE (%(tenant)s = '' OR tenant = %(tenant)s) AND expire_time > now();

-- name: list_bins
SELECT tenant, stage, bin::int, matches AS match_count, mismatches AS mismatch_count FROM cache_bin
WHERE %(tenant)s = '' OR tenant = %(tenant)s ORDER BY tenant, stage, bin LIMIT 10000;
