-- Named statements of ledger/prices.py.

-- name: find_price_list
SELECT * FROM price_list WHERE version = %(version)s OR %(version)s = 0 ORDER BY version DESC LIMIT 1;

-- name: lock_price_list
-- Versions are made one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('paymaster.price_list', 0));

-- name: insert_price_list
INSERT INTO price_list (version, prices, actor, reason, create_time)
VALUES (%(version)s, %(prices)s, %(actor)s, %(reason)s, %(create_time)s);
