"""A past for the ledger: rows of twelve months, written by COPY."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection, AsyncCursor

_MONTHS = 12
_ENTRIES_PER_OPERATION = 8
# As many rows as are made in one go.
_CHUNK = 5_000
_POSTINGS = """COPY ledger_posting (
    operation_id, tenant, sequence, create_time, account, reservation_id, books, units,
    budget_keys, window_starts_ms, amounts
) FROM STDIN"""
_OPERATIONS = """COPY operation (
    operation_id, tenant, sequence, epoch, kind, outcome, idempotency_key, account, reservation_id,
    request, result, create_time
) FROM STDIN"""
# Three windows give to what is reserved; the account and the provider balance.
_BOOKS, _UNITS = "ARARARHP", "UUUUUUUU"
_KEYS, _STARTS = "{1,1,1,1,1,1}", "{0,0,0,0,0,0}"
_AMOUNTS = "{-40000,40000,-40000,40000,-40000,40000,-40000,40000}"
_TENANT = "past"
_REQUEST = '{"kind":"RESERVE","account":"past/u00000","options":[{"legs":[["USD","40000"]]}]}'


async def add_history(database_url: str, entries: int) -> None:
    """Write a number of ledger entries, and their operations, spread over the last twelve months.

    They belong to operations of a tenant that nobody spends from: audits do not look at it, since
    its hot state was never opened.
    """
    async with await AsyncConnection.connect(database_url) as connection, connection.cursor() as to:
        await to.execute("SELECT now()")
        row = await to.fetchone()
        assert row is not None
        (now,) = row
        for month in range(_MONTHS):
            await to.execute("SELECT ensure_ledger_month(%s)", [now - timedelta(days=30 * month)])
        await to.execute(
            "INSERT INTO tenant (tenant) VALUES (%s) ON CONFLICT DO NOTHING", [_TENANT]
        )
        last = entries // _ENTRIES_PER_OPERATION
        for start in range(0, last, _CHUNK):
            numbers = range(start, min(start + _CHUNK, last))
            await _copy(to, _OPERATIONS, map(_operation, _moments(numbers, last, now)))
            await _copy(to, _POSTINGS, map(_posting, _moments(numbers, last, now)))
        await connection.commit()
        await connection.set_autocommit(True)
        await to.execute("VACUUM ANALYZE ledger_posting, operation")
        await to.execute("CHECKPOINT")  # else it comes while something is measured


def _moments(numbers: range, last: int, now: datetime) -> Iterator[tuple[int, str]]:
    """Yield operations with their times, from the oldest to the latest."""
    span = timedelta(days=30 * (_MONTHS - 1))
    for number in numbers:
        yield number, (now - span * (1 - number / last)).astimezone(UTC).isoformat()


async def _copy(to: AsyncCursor, statement: str, rows: Iterator[tuple[object, ...]]) -> None:
    lines = ("\t".join(map(str, row)) for row in rows)
    async with to.copy(statement.encode()) as copy:
        await copy.write("".join(f"{line}\n" for line in lines))


def _operation(moment: tuple[int, str]) -> tuple[object, ...]:
    number, time = moment
    made = uuid.UUID(int=number)
    account, held = f"{_TENANT}/u00000", f"{_TENANT}/{made}"
    return (
        *(made, _TENANT, number + 1, 1, "RESERVE", "DONE", f"past-{made}", account, held),
        *(_REQUEST, _REQUEST, time),
    )


def _posting(moment: tuple[int, str]) -> tuple[object, ...]:
    number, time = moment
    made = uuid.UUID(int=number)
    return (
        *(made, _TENANT, number + 1, time, f"{_TENANT}/u00000", f"{_TENANT}/{made}"),
        *(_BOOKS, _UNITS, _KEYS, _STARTS, _AMOUNTS),
    )
