-- Who may call. The secret is 256 random bits, so a plain hash of it is enough.
CREATE TABLE api_key (
    api_key_id text PRIMARY KEY,
    tenant text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text [] NOT NULL,
    display_name text NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz
);
CREATE INDEX api_key_by_tenant ON api_key (tenant, api_key_id);
