-- Named parts of the statements of ledger/usage_export.py. Each SELECT is of `event`, the rows of a page.

-- name: complete_until
SELECT operation.create_time FROM tenant
LEFT JOIN usage_cursor ON usage_cursor.tenant = tenant.tenant
CROSS JOIN LATERAL (
    SELECT create_time FROM operation
    WHERE operation.tenant = tenant.tenant AND operation.sequence > coalesce(usage_cursor.sequence, 0)
    ORDER BY operation.sequence LIMIT 1
) AS operation
WHERE %(tenant)s = '' OR tenant.tenant = %(tenant)s
ORDER BY operation.create_time LIMIT 1;

-- name: page_end
-- The last event of a page, how many it has, and whose they are.
SELECT last.tenant, last.event_time, last.sequence, whole.count, whole.accounts
FROM (
    SELECT tenant, event_time, sequence FROM event ORDER BY tenant DESC, event_time DESC, sequence DESC LIMIT 1
) AS last
CROSS JOIN (SELECT count(*) AS count, array_agg(DISTINCT account) AS accounts FROM event) AS whole;

-- name: names
SELECT account, coalesce(nullif(display_name, ''), account) AS name FROM account WHERE account = ANY(%(accounts)s);

-- name: csv
-- What spreadsheets would take for a formula is text there: labels are of whoever calls, and others open the file.
SELECT
    tenant,
    sequence,
    to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS event_time,
    account,
    regexp_replace(user_name, '^[-=+@\t\r]', '''\&') AS "user",
    outcome,
    reservation_id,
    generation_id,
    attempt,
    regexp_replace(kind, '^[-=+@\t\r]', '''\&') AS kind,
    regexp_replace(provider, '^[-=+@\t\r]', '''\&') AS provider,
    regexp_replace(model, '^[-=+@\t\r]', '''\&') AS model,
    regexp_replace(size, '^[-=+@\t\r]', '''\&') AS size,
    regexp_replace(quality, '^[-=+@\t\r]', '''\&') AS quality,
    images,
    videos,
    messages,
    input_tokens,
    output_tokens,
    actual_micros AS actual,
    charged_micros AS charged,
    absorbed_micros AS absorbed,
    refunded_micros AS refunded,
    credits_micros AS credits,
    revenue_micros AS revenue,
    saved_micros AS saved,
    duration_ms,
    cached,
    score_ppm,
    entry_id,
    downgraded::text AS downgraded,
    downgrade_reason,
    fallback::text AS fallback,
    presumed_spent::text AS presumed_spent,
    late::text AS late,
    error_class,
    reason AS denial_reason
FROM event ORDER BY event.tenant, event.event_time, event.sequence;

-- name: jsonl
SELECT row_to_json(named)
FROM (
    SELECT
        tenant,
        sequence,
        to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS event_time,
        account,
        user_name AS "user",
        outcome,
        reservation_id,
        generation_id,
        attempt,
        kind,
        provider,
        model,
        size,
        quality,
        images,
        videos,
        messages,
        input_tokens,
        output_tokens,
        actual_micros AS actual,
        charged_micros AS charged,
        absorbed_micros AS absorbed,
        refunded_micros AS refunded,
        credits_micros AS credits,
        revenue_micros AS revenue,
        saved_micros AS saved,
        duration_ms,
        cached,
        score_ppm,
        entry_id,
        downgraded,
        downgrade_reason,
        fallback,
        presumed_spent,
        late,
        error_class,
        reason AS denial_reason
    FROM event ORDER BY event.tenant, event.event_time, event.sequence
) AS named;

-- name: focus_rows
-- Of what FOCUS is about: what cost, charged or refunded something, and what was made for nothing.
outcome IN ('SUCCEEDED', 'PART') OR actual_micros <> 0 OR charged_micros <> 0 OR refunded_micros <> 0;

-- name: focus
-- As in `csv`, what would be a formula is text.
-- FOCUS 1.2, dataset Cost and Usage. What is billed is what accounts are charged, less what they are refunded; the list cost of
-- usage is what it cost by the price catalogue. Refunds and corrections stand for themselves, so that all their costs are one.
SELECT
    billed."BilledCost",
    event.tenant AS "BillingAccountId",
    regexp_replace(coalesce(tenant_name.name, event.tenant), '^[-=+@\t\r]', '''\&') AS "BillingAccountName",
    'USD' AS "BillingCurrency",
    to_char(billed.month + interval '1 month', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "BillingPeriodEnd",
    to_char(billed.month, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "BillingPeriodStart",
    billed."ChargeCategory",
    NULL AS "ChargeClass",
    CASE billed."ChargeCategory"
        WHEN 'Credit' THEN 'Refund'
        WHEN 'Adjustment' THEN 'Correction'
        ELSE regexp_replace(
            trim(concat_ws(' ', nullif(event.kind, ''), nullif(event.size, ''), nullif(event.quality, '')) || ' by '
            || billed."SkuId"), '^[-=+@\t\r]', '''\&'
        )
    END AS "ChargeDescription",
    CASE billed."ChargeCategory" WHEN 'Usage' THEN 'Usage-Based' ELSE 'One-Time' END AS "ChargeFrequency",
    to_char(billed.hour + interval '1 hour', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "ChargePeriodEnd",
    to_char(billed.hour, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "ChargePeriodStart",
    billed.quantity * 1.0 AS "ConsumedQuantity",
    CASE WHEN billed.quantity IS NOT NULL THEN billed.unit END AS "ConsumedUnit",
    billed.list_cost AS "ContractedCost",
    billed."BilledCost" AS "EffectiveCost",
    NULL AS "InvoiceId",
    'Paymaster' AS "InvoiceIssuerName",
    billed.list_cost AS "ListCost",
    CASE billed."ChargeCategory" WHEN 'Usage' THEN 'Standard' END AS "PricingCategory",
    billed.quantity * 1.0 AS "PricingQuantity",
    CASE WHEN billed.quantity IS NOT NULL THEN billed.unit END AS "PricingUnit",
    -- Who lets accounts have it, and who makes it.
    'Paymaster' AS "ProviderName",
    billed.maker AS "PublisherName",
    'AI and Machine Learning' AS "ServiceCategory",
    trim(billed.maker || ' ' || event.kind) AS "ServiceName",
    'Generative AI' AS "ServiceSubcategory",
    billed."SkuId",
    regexp_replace(coalesce(nullif(event.kind, ''), 'other'), '^[-=+@\t\r]', '''\&') AS "SkuMeter",
    concat_ws('/', billed."SkuId", nullif(event.size, ''), nullif(event.quality, '')) AS "SkuPriceId",
    event.account AS "SubAccountId",
    regexp_replace(coalesce(account_name.name, event.account), '^[-=+@\t\r]', '''\&') AS "SubAccountName",
    CASE WHEN event.user_name <> '' THEN json_build_object('user', event.user_name)::text END AS "Tags",
    event.outcome AS "x_Outcome",
    regexp_replace(event.model, '^[-=+@\t\r]', '''\&') AS "x_Model",
    trim_scale(event.actual_micros * 0.000001) AS "x_ActualCost",
    trim_scale(event.absorbed_micros * 0.000001) AS "x_AbsorbedCost",
    trim_scale(event.revenue_micros * 0.000001) AS "x_Revenue",
    trim_scale(event.credits_micros * 0.000001) AS "x_Credits",
    event.generation_id AS "x_GenerationId",
    event.reservation_id AS "x_ReservationId",
    event.sequence AS "x_Sequence",
    to_char(event.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "x_EventTime"
FROM event
CROSS JOIN LATERAL (
    SELECT
        CASE event.outcome WHEN 'REFUNDED' THEN 'Credit' WHEN 'ADJUSTED' THEN 'Adjustment' ELSE 'Usage' END
            AS "ChargeCategory",
        trim_scale((event.charged_micros - event.refunded_micros) * 0.000001) AS "BilledCost",
        trim_scale(
            CASE
                WHEN event.outcome IN ('REFUNDED', 'ADJUSTED') THEN event.charged_micros - event.refunded_micros
                ELSE event.actual_micros
            END * 0.000001
        ) AS list_cost,
        regexp_replace(coalesce(nullif(event.provider, ''), 'Paymaster'), '^[-=+@\t\r]', '''\&') AS maker,
        regexp_replace(
            coalesce(nullif(concat_ws('/', nullif(event.provider, ''), nullif(event.model, '')), ''), 'other'),
            '^[-=+@\t\r]', '''\&'
        ) AS "SkuId",
        CASE
            WHEN event.outcome IN ('REFUNDED', 'ADJUSTED') THEN NULL
            WHEN event.kind = 'image' THEN event.images
            WHEN event.kind = 'video' THEN event.videos
            WHEN event.input_tokens + event.output_tokens > 0 THEN event.input_tokens + event.output_tokens
            ELSE 1
        END AS quantity,
        CASE
            WHEN event.kind = 'image' THEN 'Images'
            WHEN event.kind = 'video' THEN 'Videos'
            WHEN event.input_tokens + event.output_tokens > 0 THEN 'Tokens'
            ELSE 'Requests'
        END AS unit,
        date_trunc('month', event.event_time AT TIME ZONE 'UTC') AS month,
        date_trunc('hour', event.event_time AT TIME ZONE 'UTC') AS hour
) AS billed
LEFT JOIN unnest(%(accounts)s::text[], %(names)s::text[]) AS tenant_name (account, name)
    ON tenant_name.account = event.tenant
LEFT JOIN unnest(%(accounts)s::text[], %(names)s::text[]) AS account_name (account, name)
    ON account_name.account = event.account
ORDER BY event.tenant, event.event_time, event.sequence;
