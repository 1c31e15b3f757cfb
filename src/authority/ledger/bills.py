"""Providers' bills in Postgres: what was imported, beside what is booked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, BinaryIO

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.bills import Bill, BillDay, BillFormat, BillLine, DayFilter, PresumedAttempt
from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.ids import PLATFORM
from authority.ledger.changes import write_change
from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements

# A year's bills are read for one comparison, and a file may have half a million lines.
LONGEST = "60s"
_LINES_AT_ONCE = 5_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_COUNTS = BillDay._fields[3:]

Connection = AsyncConnection[DictRow]


class PostgresBills:
    """The part of `domain.bills.BillStore` that is about bills."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("bills.sql")

    async def add(
        self, bill: Bill, file: BinaryIO, read: Callable[[BinaryIO], Iterable[BillLine]]
    ) -> tuple[Bill, bool]:
        """Add a bill with the lines of its file, and record it; or find it."""
        values = _values(bill)
        async with self._database.transaction() as connection:
            await allow_long_transaction(connection, LONGEST)
            inserted = await connection.execute(self._sql["insert_bill"], values)
            if inserted.rowcount:
                copied = connection.cursor().copy(self._sql["copy_lines"])
                rows = _copied_rows(bill.bill_id, iter(read(file)))
                async with copied as copy:
                    while piece := await asyncio.to_thread(next, rows, b""):
                        await copy.write(piece)
                await write_change(connection, _change("ImportBill", bill, None, bill.cause))
            rows_found = await connection.execute(self._sql["find_content"], values)
            (row,) = await rows_found.fetchall()
        return _bill(row), not inserted.rowcount

    async def bills(self, provider: str, before: int, limit: int) -> list[Bill]:
        """Return a page, the latest first."""
        rows = await self._database.rows(
            self._sql["list_bills"], {"provider": provider, "before": before, "limit": limit}
        )
        return list(map(_bill, rows))

    async def withdraw(self, bill_id: str, cause: Cause, now: datetime) -> Bill | None:
        """Take a bill out and record it, once."""
        parameters = {"bill_id": bill_id, "now": now}
        async with self._database.transaction() as connection:
            changed = await connection.execute(self._sql["withdraw_bill"], parameters)
            found = await connection.execute(self._sql["read_bill"], parameters)
            row = await found.fetchone()
            if row is None:
                return None
            bill = _bill(row)
            if changed.rowcount:
                before = bill._replace(withdraw_time=None)
                change = _change("WithdrawBill", bill, before, cause, now)
                await write_change(connection, change)
        return bill

    async def days(
        self, wanted: DayFilter, difference_min: int, after: Sequence[str], limit: int
    ) -> list[BillDay]:
        """Return a page of days, the latest first."""
        async with self._database.transaction() as connection:
            await allow_long_transaction(connection, LONGEST)
            return await read_days(connection, wanted, difference_min, after, limit)

    async def presumed(
        self, wanted: DayFilter, after: Sequence[str], limit: int
    ) -> list[PresumedAttempt]:
        """Return a page of attempts that were presumed spent, each with what was billed of it."""
        async with self._database.transaction() as connection:
            await allow_long_transaction(connection, LONGEST)
            return await read_presumed(connection, wanted, after, limit)


async def read_days(
    connection: Connection,
    wanted: DayFilter,
    difference_min: int,
    after: Sequence[str],
    limit: int | None,
) -> list[BillDay]:
    """Return days behind a day, provider and model."""
    sql = statements("bills.sql")
    day, provider, model = after
    cursor = await connection.execute(
        sql["bill_days"] + sql["list_bill_days"],
        {
            **wanted._asdict(),
            "difference_min": difference_min,
            "after_day": day or None,
            "after_provider": provider,
            "after_model": model,
            "limit": limit,
        },
    )
    return [BillDay(**row) for row in await cursor.fetchall()]


async def read_presumed(
    connection: Connection, wanted: DayFilter, after: Sequence[str], limit: int | None
) -> list[PresumedAttempt]:
    """Return attempts behind a day, provider, model, time, generation and attempt."""
    sql = statements("bills.sql")
    day, provider, model, time, generation_id, attempt = after
    cursor = await connection.execute(
        sql["bill_days"] + sql["list_presumed"],
        {
            **wanted._asdict(),
            "after_day": day or None,
            "after_provider": provider,
            "after_model": model,
            "after_time": time or None,
            "after_generation": generation_id,
            "after_attempt": int(attempt or 0),
            "limit": limit,
        },
    )
    rows = await cursor.fetchall()
    return [
        PresumedAttempt(**{name: row[name] for name in PresumedAttempt._fields}) for row in rows
    ]


def _copied_rows(bill_id: str, lines: Iterator[BillLine]) -> Iterator[bytes]:
    """Yield lines as COPY takes them, many at a time; reading the file is what takes long."""
    while some := list(islice(lines, _LINES_AT_ONCE)):
        yield "".join(_copied(bill_id, line) for line in some).encode()


def _copied(bill_id: str, line: BillLine) -> str:
    texts = (line.model, line.billed_model, line.item)
    model, billed_model, item = (text.translate(_ESCAPES) for text in texts)
    quantity = "\\N" if line.quantity is None else f"{line.quantity}"
    return (
        f"{bill_id}\t{line.line_number}\t{line.day}\t{model}\t{billed_model}\t{item}\t{quantity}\t"
        f"{line.billed_usd}\n"
    )


def _values(bill: Bill) -> dict[str, Any]:
    values = bill._asdict()
    values |= values.pop("cause")._asdict()
    return values


def _bill(row: DictRow) -> Bill:
    cause = Cause(row.pop("actor"), row.pop("reason"))
    return Bill(form=BillFormat(row.pop("format")), cause=cause, **row)


def _change(
    method: str, bill: Bill, before: Bill | None, cause: Cause, now: datetime | None = None
) -> Change:
    return Change(
        tenant=PLATFORM,
        account="",
        method=method,
        resource_type="bill",
        resource=bill.bill_id,
        cause=cause,
        before=None if before is None else _document(before),
        after=_document(bill),
        change_time=now or bill.create_time,
    )


def _document(bill: Bill) -> dict[str, Any]:
    return {
        "bill_id": bill.bill_id,
        "provider": bill.provider,
        "source": bill.source,
        "format": bill.form.value,
        "file_name": bill.file_name,
        "content_sha256": bill.content_sha256.hex(),
        "line_count": bill.line_count,
        "start_day": _text(bill.start_day),
        "end_day": _text(bill.end_day),
        "billed": bill.billed,
        "create_time": _text(bill.create_time),
        "withdraw_time": _text(bill.withdraw_time),
    }


def _text(moment: date | None) -> str | None:
    return None if moment is None else moment.isoformat()
