"""API keys in Postgres: everything about them but their secrets, of which there is a hash."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from authority.domain.callers import ApiKey, ApiKeyChange, Cause, Scope, StoredKey
from authority.domain.changes import make_change
from authority.domain.tokens import Token
from authority.ledger.changes import write_change
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "api_keys.sql"


class PostgresApiKeys:
    """Implements `domain.callers.ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def insert(self, key: ApiKey, secret_hash: bytes, cause: Cause) -> None:
        """Add an API key, and record it."""
        async with self._database.transaction() as connection:
            await _insert(connection, key, secret_hash, cause)

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

    async def update(
        self, api_key_id: str, change: ApiKeyChange, change_time: datetime, cause: Cause
    ) -> ApiKey | None:
        """Change an API key, record it, and return the key; None if there is none."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._sql["lock_api_key"], {"api_key_id": api_key_id})
            row = await cursor.fetchone()
            if row is None:
                return None
            before = _key(row)
            after = change.apply(before)
            if after != before:
                parameters = {
                    "api_key_id": api_key_id,
                    "display_name": after.display_name,
                    "submissions_per_minute": after.submissions_per_minute,
                }
                await connection.execute(self._sql["update_api_key"], parameters)
                await write_change(
                    connection, make_change("UpdateApiKey", cause, before, after, change_time)
                )
        return after

    async def revoke(self, api_key_id: str, revoke_time: datetime, cause: Cause) -> ApiKey | None:
        """End an API key, record it, and return the key; None if there is none.

        Revoked once, it keeps its time, and nothing is recorded again.
        """
        parameters = {"api_key_id": api_key_id, "revoke_time": revoke_time}
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._sql["revoke_api_key"], parameters)
            row = await cursor.fetchone()
            if row is not None:
                revoked = _key(row)
                before = replace(revoked, revoke_time=None)
                change = make_change("RevokeApiKey", cause, before, revoked, revoke_time)
                await write_change(connection, change)
                return revoked
        found = await self.find(api_key_id)
        return None if found is None else found.key


async def ensure_api_key(database_url: str, token: Token, key: ApiKey, cause: Cause) -> bool:
    """Add an API key to a database that no authority serves yet, unless it is there.

    Return whether it lets callers in: not if it was revoked, or if its id is another key's.
    Raises psycopg.Error.
    """
    sql = statements(_FILE)
    async with await AsyncConnection[DictRow].connect(
        database_url, row_factory=dict_row
    ) as connection:
        await _insert(connection, key, token.secret_hash, cause)
        cursor = await connection.execute(sql["find_api_key"], {"api_key_id": token.api_key_id})
        row = await cursor.fetchone()
    if row is None:
        raise psycopg.DataError("the API key was not kept")
    found = _stored(row)
    return found.key.revoke_time is None and token.matches(found.secret_hash)


async def _insert(
    connection: AsyncConnection[DictRow], key: ApiKey, secret_hash: bytes, cause: Cause
) -> None:
    """Add an API key and record it, unless its id is there."""
    row = {
        "api_key_id": key.api_key_id,
        "tenant": key.tenant,
        "secret_hash": secret_hash,
        "scopes": sorted(key.scopes),
        "display_name": key.display_name,
        "create_time": key.create_time,
        "expire_time": key.expire_time,
        "submissions_per_minute": key.submissions_per_minute,
    }
    cursor = await connection.execute(statements(_FILE)["insert_api_key"], row)
    if await cursor.fetchone() is not None:
        change = make_change("CreateApiKey", cause, None, key, key.create_time)
        await write_change(connection, change)


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
        submissions_per_minute=row["submissions_per_minute"],
    )
