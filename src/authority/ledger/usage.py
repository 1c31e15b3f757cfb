"""Reads the usage log and its sums. A tenant's are read as that tenant sees them, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, TupleRow, tuple_row

from authority.domain.usage import (
    TOP_ENTRIES_MAX,
    EntryUse,
    EventQuery,
    Outcome,
    UsageAnswer,
    UsageEvent,
    UsageGroup,
    UsagePoint,
    UsageQuery,
    UsageSums,
)
from authority.ledger.database import Database
from authority.ledger.queries import statements
from authority.ledger.usage_query import (
    Statement,
    conditions,
    groups_statement,
    series_statement,
)

_ROWS_AT_ONCE = 500


class PostgresUsage:
    """Implements `domain.usage.UsageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("usage.sql")

    async def query(self, wanted: UsageQuery) -> UsageAnswer:
        """Sum what was used. Raises Unavailable."""
        # Looked at first: what comes in between is more than is promised.
        behind = await self._database.rows(self._sql["behind_since"], {"tenant": wanted.tenant})
        async with self._reading(wanted.tenant) as connection:
            time_zone = await self._time_zone(connection, "prepare_query")
            rows = await _read(connection, groups_statement(wanted, time_zone))
            totals, groups = _groups(wanted, rows)
            group_count = rows[1][0] if len(rows) > 1 else 0
            steps: list[TupleRow] = []
            if wanted.interval is not None:
                names = [group.values for group in groups]
                is_all = len(groups) == group_count
                statement = series_statement(wanted, time_zone, names, are_all=is_all)
                steps = await _read(connection, statement)
            entries = await self._top_entries(connection, wanted)
        points = _points(steps)
        return UsageAnswer(
            totals=totals,
            points=points.get(None, ()),
            groups=tuple(
                group._replace(points=points.get(number, ()))
                for number, group in enumerate(groups, 1)
            ),
            group_count=group_count,
            time_zone=time_zone,
            complete_until=behind[0]["create_time"] if behind else None,
            top_entries=entries,
        )

    async def events(self, wanted: EventQuery) -> list[UsageEvent]:
        """Return events, the latest first. Raises Unavailable."""
        text, parameters = _event_statement(wanted)
        async with self._reading(wanted.tenant) as connection:
            cursor = await connection.execute(text, parameters)
            return [_event(row) for row in await cursor.fetchall()]

    async def time_zone(self) -> str:
        """Return the reporting time zone. Raises Unavailable."""
        async with self._database.connection() as connection:
            return await self._time_zone(connection)

    async def first_time(self, tenant: str) -> datetime | None:
        """Return when the first day that is counted begins. Raises Unavailable."""
        rows = await self._database.rows(self._sql["first_time"], {"tenant": tenant})
        found: datetime | None = rows[0]["first_time"]
        return found

    @asynccontextmanager
    async def _reading(self, tenant: str) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Give a snapshot; of a tenant's rows alone, if there is one."""
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if tenant:
                # The rows of others are not even read, whatever the statement says.
                await connection.execute(self._sql["enter_tenant"], {"tenant": tenant})
            yield connection

    async def _time_zone(
        self, connection: AsyncConnection[DictRow], name: str = "time_zone"
    ) -> str:
        cursor = await connection.execute(self._sql[name])
        row = await cursor.fetchone()
        assert row is not None
        return str(row["time_zone"])

    async def _top_entries(
        self, connection: AsyncConnection[DictRow], wanted: UsageQuery
    ) -> tuple[EntryUse, ...]:
        if not wanted.top_entries:
            return ()
        parameters = {
            "tenant": wanted.tenant,
            "accounts": None if wanted.accounts is None else list(wanted.accounts),
            "start": wanted.start,
            "end": wanted.end,
            "limit": TOP_ENTRIES_MAX,
        }
        cursor = await connection.execute(self._sql["top_entries"], parameters)
        return tuple(EntryUse(**row) for row in await cursor.fetchall())


async def _read(connection: AsyncConnection[DictRow], statement: Statement) -> list[TupleRow]:
    """Read rows of many columns: as tuples, and numbers that need not be parsed."""
    rows: list[TupleRow] = []
    async with connection.cursor(binary=True, row_factory=tuple_row) as reading:
        # A plan for any time would be a bad one for most.
        await reading.execute(statement.text, statement.parameters, prepare=False)
        while page := await reading.fetchmany(_ROWS_AT_ONCE):
            rows += page
            await asyncio.sleep(0)  # To read thousands takes time, which others have too.
    return rows


def _groups(wanted: UsageQuery, rows: Sequence[TupleRow]) -> tuple[UsageSums, list[UsageGroup]]:
    """Read what `groups_statement` says: the whole, then the groups of the page in their order."""
    width = len(wanted.group_by)
    (_, _, *whole), *others = rows
    totals = UsageSums(*whole[width:]) if whole[width] is not None else UsageSums()
    groups = [
        UsageGroup(tuple(values[:width]), UsageSums(*values[width:])) for _, _, *values in others
    ]
    return totals, groups


def _points(rows: Sequence[TupleRow]) -> dict[int | None, tuple[UsagePoint, ...]]:
    """Read what `series_statement` says: the series by the number of the group; None is all."""
    series: dict[int | None, list[UsagePoint]] = {}
    for number, step, *sums in rows:
        series.setdefault(number, []).append(UsagePoint(step, UsageSums(*sums)))
    return {number: tuple(points) for number, points in series.items()}


def event_tests(wanted: EventQuery) -> tuple[list[str], dict[str, Any]]:
    """Return which events are wanted, as conditions on their columns, and their parameters."""
    tests, parameters = conditions(wanted.filter)
    given: dict[str, tuple[str, Any]] = {
        "tenant": ("tenant = %(tenant)s", wanted.tenant),
        "start": ("event_time >= %(start)s", wanted.start),
        "end": ("event_time < %(end)s", wanted.end),
        "users": ("user_name = ANY(%(users)s::text[])", list(wanted.filter.users)),
        "generation_id": ("generation_id = %(generation_id)s", wanted.generation_id),
        "reservation_id": ("reservation_id = %(reservation_id)s", wanted.reservation_id),
    }
    for name, (test, value) in given.items():
        if value:
            tests.append(test)
            parameters[name] = value
    if wanted.accounts is not None:
        tests.append("account = ANY(%(accounts)s::text[])")
        parameters["accounts"] = list(wanted.accounts)
    return tests, parameters


def _event_statement(wanted: EventQuery) -> tuple[str, dict[str, Any]]:
    tests, parameters = event_tests(wanted)
    if wanted.before is not None:
        tests.append(
            "(event_time, tenant, sequence) < (%(before_time)s, %(before_tenant)s, "
            "%(before_sequence)s)"
        )
        before = wanted.before
        parameters |= {
            "before_time": before.event_time,
            "before_tenant": before.tenant,
            "before_sequence": before.sequence,
        }
    parameters["limit"] = wanted.limit
    where = f"WHERE {' AND '.join(tests)} " if tests else ""
    order = "ORDER BY event_time DESC, tenant DESC, sequence DESC LIMIT %(limit)s"
    return f"SELECT * FROM usage_event {where}{order}", parameters


def _event(row: DictRow) -> UsageEvent:
    return UsageEvent(**(row | {"outcome": Outcome(row["outcome"])}))
