"""Compares sums of usage with events, and both with operations, each time in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements
from authority.ledger.usage_calendar import GRAINS
from authority.ledger.usage_sums import sums_of_events

_FILE = "usage_audit.sql"
_LONGEST = "10min"
# Of the sums that differ, so many are told.
_SHOWN_MAX = 50


class UsageDifference(NamedTuple):
    """One sum that is not what it should be."""

    subject: str
    field: str
    expected: str
    found: str


class UsageAudit:
    """Every method raises Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def of_tenant(self, tenant: str) -> list[UsageDifference]:
        """Compare what is kept of a tenant."""
        differing = f"WITH {self._sql['kept_events']}, {sums_of_events()}, {self._sql['differing']}"
        parameters = {"tenant": tenant, "grains": list(GRAINS), "limit": _SHOWN_MAX}
        async with self._snapshot() as connection:
            cursor = await connection.execute(self._sql["books"], parameters)
            books = await cursor.fetchall()
            cursor = await connection.execute(differing, parameters)
            rows = await cursor.fetchall()
        return [
            *(
                UsageDifference(f"usage of {tenant}", row["name"], row["expected"], row["found"])
                for row in books
            ),
            *(
                UsageDifference(
                    f"{row['place']} {row['bucket']} of {row['grain']} min "
                    f"{row['account'] or tenant} {row['user_name']}".rstrip(),
                    row["name"],
                    row["expected"],
                    row["found"],
                )
                for row in rows
            ),
        ]

    async def of_all(self) -> list[UsageDifference]:
        """Compare what is kept of the whole installation with what is kept of its tenants."""
        async with self._snapshot() as connection:
            cursor = await connection.execute(self._sql["whole"], {"limit": _SHOWN_MAX})
            rows = await cursor.fetchall()
        return [
            UsageDifference(
                f"usage of all {row['bucket']} of {row['grain']} min",
                row["name"],
                row["expected"],
                row["found"],
            )
            for row in rows
        ]

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await allow_long_transaction(connection, _LONGEST)
            yield connection
