"""Brings a database's schema up to date: numbered SQL files, forward only, each applied once.

A lock keeps a second process out; a checksum refuses a file that was edited after it was applied;
timeouts keep a migration from blocking a busy database. A file runs in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, LiteralString, NamedTuple

from psycopg import AsyncConnection
from psycopg.errors import Diagnostic

_LOCK = 7263_8921
_LOCK_WAIT_SECONDS = 60
_POLL_SECONDS = 0.05


class MigrationError(Exception):
    """The schema can't be brought up to date; the message says why and what to do."""


class Migration(NamedTuple):
    """One file."""

    number: int
    name: str
    sql: LiteralString

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all migrations in order. Their numbers have no gaps."""
    folder = files("authority.ledger") / "migrations"
    found = sorted(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text())
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    assert [item.number for item in found] == list(range(1, len(found) + 1)), "a number is missing"
    return found


async def pending(connection: AsyncConnection[Any]) -> list[str]:
    """Return the names of the migrations that the database lacks."""
    cursor = await connection.execute("SELECT to_regclass('schema_migration') AS found")
    row = await cursor.fetchone()
    applied = set()
    if row is not None and row["found"]:
        cursor = await connection.execute("SELECT number FROM schema_migration")
        applied = {row["number"] for row in await cursor.fetchall()}
    return [migration.name for migration in migrations() if migration.number not in applied]


async def migrate(
    database_url: str, on_warning: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Apply what is missing and return its names.

    `on_warning` is called with what the server lacks, and what to do about it. Raises
    MigrationError and psycopg's errors.
    """

    def told(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            on_warning(" ".join(filter(None, (notice.message_primary, notice.message_hint))))

    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        connection.add_notice_handler(told)
        await _lock(connection)
        try:
            return await _apply_missing(connection)
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


async def _lock(connection: AsyncConnection) -> None:
    # Tried again and again rather than waited for: a waiting lock would hold back an index that is
    # built concurrently by the process that has the lock.
    async with asyncio.timeout(_LOCK_WAIT_SECONDS):
        while True:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            row = await cursor.fetchone()
            if row is not None and row[0]:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def _apply_missing(connection: AsyncConnection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY,"
        " name text NOT NULL, checksum text NOT NULL,"
        " apply_time timestamptz NOT NULL DEFAULT now())"
    )
    cursor = await connection.execute("SELECT number, checksum FROM schema_migration")
    applied: dict[int, str] = dict(await cursor.fetchall())
    known = migrations()
    newest = known[-1].number
    if applied and max(applied) > newest:
        raise MigrationError(
            f"The database has migration {max(applied)}, this version knows {newest}: "
            "run a version of Paymaster at least as new as the one that last used the database."
        )
    done = []
    for migration in known:
        if migration.number not in applied:
            await _apply(connection, migration)
            done.append(migration.name)
        elif applied[migration.number] != migration.checksum:
            raise MigrationError(
                f"The file of migration {migration.name} was changed after it was applied: "
                "restore it and put the change into a new migration."
            )
    return done


async def _apply(connection: AsyncConnection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '4s'")
        await connection.execute("SET LOCAL statement_timeout = '60s'")
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES (%s, %s, %s)",
            [migration.number, migration.name, migration.checksum],
        )
