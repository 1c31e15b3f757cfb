"""Writes the usage log as a file, which Postgres itself puts into its form.

It is read in pages, each in a transaction of its own: a reader that is slow keeps neither a
connection nor a snapshot, and any authority can go on where another has broken off. Events are
never changed, and none is added before the end of what is asked for, so the pages are of one piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.usage import EventPlace, EventQuery
from authority.domain.usage_export import ExportFormat, ExportPiece, ExportPlace
from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements
from authority.ledger.usage import event_tests

CHUNK_BYTES_MAX = 1024 * 1024
EVENTS_AT_ONCE = 5_000
_LONGEST = "30s"
# JSON has neither of the two characters in it, so that nothing in it is quoted.
_OPTIONS = {
    ExportFormat.CSV: "FORMAT csv",
    ExportFormat.JSONL: "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'",
    ExportFormat.FOCUS: "FORMAT csv",
}


class _Page(NamedTuple):
    """The end of a page, and the statement that writes it."""

    event_count: int
    last: EventPlace | None
    statement: str
    parameters: dict[str, Any]


class PostgresUsageExport:
    """Implements `domain.usage_export.UsageExporter`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("usage_export.sql")

    async def complete_until(self, tenant: str) -> datetime | None:
        """Return what was decided before which time is in the log; None if all is."""
        rows = await self._database.rows(self._sql["complete_until"], {"tenant": tenant})
        return rows[0]["create_time"] if rows else None

    async def pieces(
        self, wanted: EventQuery, form: ExportFormat, after: ExportPlace | None
    ) -> AsyncIterator[ExportPiece]:
        """Yield the file, or what of it is behind a place. Raises Unavailable."""
        place = after
        while True:
            begins = place is None and form is not ExportFormat.JSONL
            content: list[bytes] = []
            async with self._database.transaction() as connection:
                await allow_long_transaction(connection, _LONGEST)
                # By the order of the table's key, of which so much is read as a page has. Left to
                # itself, Postgres takes what is behind a row for next to nothing, and sorts it all.
                await connection.execute("SELECT set_config('enable_sort', 'off', true)")
                page = await self._page(connection, wanted, form, place and place.last, begins)
                if page.last is not None or begins:
                    content = await self._written(connection, page)
            is_end = page.event_count < EVENTS_AT_ONCE
            if page.last is not None:
                before = place.event_count if place else 0
                place = ExportPlace(page.last, before + page.event_count)
            for chunk in content[:-1]:
                yield ExportPiece(chunk, None)
            # Without any event there is nothing to go on behind.
            yield ExportPiece(content[-1] if content else b"", place)
            if is_end:
                return

    async def _page(
        self,
        connection: AsyncConnection[DictRow],
        wanted: EventQuery,
        form: ExportFormat,
        after: EventPlace | None,
        begins: bool,  # of a private function
    ) -> _Page:
        """Find out where the next page ends."""
        tests, parameters = event_tests(replace(wanted, before=None))
        if form is ExportFormat.FOCUS:
            tests.append(f"({self._sql['focus_rows'].rstrip(';')})")
        if after is not None:
            tests.append(
                "(tenant, event_time, sequence) > (%(after_tenant)s, %(after_time)s,"
                " %(after_sequence)s)"
            )
            parameters |= {
                "after_tenant": after.tenant,
                "after_time": after.event_time,
                "after_sequence": after.sequence,
            }
        parameters["limit"] = EVENTS_AT_ONCE
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        rows = (
            f"WITH event AS MATERIALIZED (SELECT * FROM usage_event {where} "
            "ORDER BY tenant, event_time, sequence LIMIT %(limit)s) "
        )
        await self._enter(connection, wanted.tenant)
        cursor = await connection.execute(rows + self._sql["page_end"], parameters)
        end = await cursor.fetchone()
        select = self._sql[form.lower()].rstrip(";")
        header = ", HEADER true" if begins else ""
        statement = f"COPY ({rows}{select}) TO STDOUT ({_OPTIONS[form]}{header})"
        if end is None:
            return _Page(0, None, statement, parameters | {"accounts": [], "names": []})
        if form is ExportFormat.FOCUS:
            parameters |= await self._names(connection, end)
            await self._enter(connection, wanted.tenant)
        last = EventPlace(end["event_time"], end["tenant"], end["sequence"])
        return _Page(end["count"], last, statement, parameters)

    async def _enter(self, connection: AsyncConnection[DictRow], tenant: str) -> None:
        """See the rows of a tenant alone, whatever the statements say."""
        if tenant:
            sql = statements("usage.sql")["enter_tenant"]
            await connection.execute(sql, {"tenant": tenant})

    async def _names(
        self, connection: AsyncConnection[DictRow], end: DictRow
    ) -> dict[str, list[str]]:
        """Return the names of a page's accounts and tenants, which that role may not read."""
        await connection.execute("SELECT set_config('role', 'none', true)")
        tenants = {account.partition("/")[0] for account in end["accounts"]}
        cursor = await connection.execute(
            self._sql["names"], {"accounts": sorted({*end["accounts"], *tenants})}
        )
        rows = await cursor.fetchall()
        return {
            "accounts": [row["account"] for row in rows],
            "names": [row["name"] for row in rows],
        }

    async def _written(self, connection: AsyncConnection[DictRow], page: _Page) -> list[bytes]:
        """Return a page in its form, in chunks; the last one is where it ends."""
        chunks: list[bytes] = []
        pending = bytearray()
        async with connection.cursor().copy(page.statement, page.parameters) as copy:
            async for piece in copy:
                pending += piece
                while len(pending) > CHUNK_BYTES_MAX:
                    chunks.append(bytes(pending[:CHUNK_BYTES_MAX]))
                    del pending[:CHUNK_BYTES_MAX]
        chunks.append(bytes(pending))
        return chunks
