-- Named statements of ledger/api_keys.py.

-- name: insert_api_key
INSERT INTO api_key (api_key_id, tenant, secret_hash, scopes, display_name, create_time, expire_time,
                     submissions_per_minute)
VALUES (%(api_key_id)s, %(tenant)s, %(secret_hash)s, %(scopes)s, %(display_name)s, %(create_time)s,
        %(expire_time)s, %(submissions_per_minute)s)
ON CONFLICT (api_key_id) DO NOTHING RETURNING api_key_id;

-- name: find_api_key
SELECT * FROM api_key WHERE api_key_id = %(api_key_id)s;

-- name: list_api_keys
SELECT * FROM api_key
WHERE api_key_id > %(after)s AND (%(tenant)s = '' OR tenant = %(tenant)s)
ORDER BY api_key_id LIMIT %(limit)s;

-- name: lock_api_key
SELECT * FROM api_key WHERE api_key_id = %(api_key_id)s FOR UPDATE;

-- name: update_api_key
UPDATE api_key SET display_name = %(display_name)s, submissions_per_minute = %(submissions_per_minute)s
WHERE api_key_id = %(api_key_id)s;

-- name: revoke_api_key
UPDATE api_key SET revoke_time = %(revoke_time)s
WHERE api_key_id = %(api_key_id)s AND revoke_time IS NULL
RETURNING *;
