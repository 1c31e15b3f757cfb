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
_ENTRIES = """COPY ledger_entry (
    operation_id, line, tenant, sequence, account, reservation_id, book, budget_key,
    window_start_ms, unit, amount, create_time
) FROM STDIN"""
_OPERATIONS = """COPY operation (
    operation_id, tenant, sequence, epoch, kind, outcome, idempotency_key, account, reservation_id,
    request, result, create_time
) FROM STDIN"""
_BOOKS = (*("AVAILABLE", "RESERVED") * 3, "CHARGED", "PROVIDER")
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
            moments = _moments(numbers, last, now)
            await _copy(to, _ENTRIES, (entry for moment in moments for entry in _entries(*moment)))
        await connection.commit()
        await connection.set_autocommit(True)
        await to.execute("VACUUM ANALYZE ledger_entry, operation")
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


def _entries(number: int, time: str) -> Iterator[tuple[object, ...]]:
    made = uuid.UUID(int=number)
    account, held = f"{_TENANT}/u00000", f"{_TENANT}/{made}"
    for line, book in enumerate(_BOOKS):
        window = ("1", "0") if book in {"AVAILABLE", "RESERVED"} else ("\\N", "\\N")
        amount = 40_000 if line % 2 else -40_000
        yield (
            *(made, line, _TENANT, number + 1, account, held, book),
            *(*window, "USD", amount, time),
        )
