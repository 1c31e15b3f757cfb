-- Named statements of ledger/api_keys.py.

-- name: insert_api_key
INSERT INTO api_key (api_key_id, tenant, secret_hash, scopes, display_name, create_time, expire_time)
VALUES (%(api_key_id)s, %(tenant)s, %(secret_hash)s, %(scopes)s, %(display_name)s, %(create_time)s,
        %(expire_time)s)
ON CONFLICT (api_key_id) DO NOTHING RETURNING api_key_id;

-- name: find_api_key
SELECT * FROM api_key WHERE api_key_id = %(api_key_id)s;

-- name: list_api_keys
SELECT * FROM api_key
WHERE api_key_id > %(after)s AND (%(tenant)s = '' OR tenant = %(tenant)s)
ORDER BY api_key_id LIMIT %(limit)s;

-- name: revoke_api_key
UPDATE api_key SET revoke_time = %(revoke_time)s
WHERE api_key_id = %(api_key_id)s AND revoke_time IS NULL
RETURNING *;
