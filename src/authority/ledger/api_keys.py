"""API keys in Postgres: everything about them but their secrets, of which there is a hash."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from authority.domain.callers import ApiKey, Scope, StoredKey
from authority.domain.tokens import Token
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "api_keys.sql"


class PostgresApiKeys:
    """Implements `domain.callers.ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def insert(self, key: ApiKey, secret_hash: bytes) -> None:
        """Add an API key."""
        async with self._database.connection() as connection:
            await connection.execute(self._sql["insert_api_key"], _parameters(key, secret_hash))

    async def find(self, api_key_id: str) -> StoredKey | None:
        """Return an API key with the hash of its secret."""
        parameters = {"api_key_id": api_key_id}
        rows = await self._database.rows(self._sql["find_api_key"], parameters)
        return _stored(rows[0]) if rows else None

    async def list(self, tenant: str, after: str, limit: int) -> list[ApiKey]:
        """Return a page in the order of the ids; of all tenants if `tenant` is ''."""
        parameters = {"tenant": tenant, "after": after, "limit": limit}
        rows = await self._database.rows(self._sql["list_api_keys"], parameters)
        return [_key(row) for row in rows]

    async def revoke(self, api_key_id: str, revoke_time: datetime) -> ApiKey | None:
        """End an API key and return it; None if there is none. Revoked once, it keeps its time."""
        parameters = {"api_key_id": api_key_id, "revoke_time": revoke_time}
        rows = await self._database.rows(self._sql["revoke_api_key"], parameters)
        return _key(rows[0]) if rows else None


async def ensure_api_key(database_url: str, token: Token, key: ApiKey) -> bool:
    """Add an API key to a database that no authority serves yet, unless it is there.

    Return whether it lets callers in: not if it was revoked, or if its id is another key's.
    Raises psycopg.Error.
    """
    sql = statements(_FILE)
    async with await AsyncConnection[DictRow].connect(
        database_url, row_factory=dict_row
    ) as connection:
        await connection.execute(sql["insert_api_key"], _parameters(key, token.secret_hash))
        cursor = await connection.execute(sql["find_api_key"], {"api_key_id": token.api_key_id})
        row = await cursor.fetchone()
    if row is None:
        raise psycopg.DataError("the API key was not kept")
    found = _stored(row)
    return found.key.revoke_time is None and token.matches(found.secret_hash)


def _parameters(key: ApiKey, secret_hash: bytes) -> dict[str, Any]:
    return {
        "api_key_id": key.api_key_id,
        "tenant": key.tenant,
        "secret_hash": secret_hash,
        "scopes": sorted(key.scopes),
        "display_name": key.display_name,
        "create_time": key.create_time,
        "expire_time": key.expire_time,
    }


def _stored(row: DictRow) -> StoredKey:
    return StoredKey(_key(row), row["secret_hash"])


def _key(row: DictRow) -> ApiKey:
    return ApiKey(
        api_key_id=row["api_key_id"],
        tenant=row["tenant"],
        scopes=frozenset(map(Scope, row["scopes"])),
        display_name=row["display_name"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
        revoke_time=row["revoke_time"],
    )
