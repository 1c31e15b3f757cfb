"""What the books were corrected by, in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import uuid_utils
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from authority.domain.bills import (
    Adjustment,
    AdjustRequest,
    BillDay,
    BookedDay,
    Correction,
    DayFilter,
    RefundPart,
)
from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.errors import BillStateError, IdempotencyKeyReused
from authority.domain.ids import PLATFORM
from authority.ledger.bills import LONGEST, Connection, PostgresBills, read_days, read_presumed
from authority.ledger.changes import write_change
from authority.ledger.database import allow_long_transaction

# Of what an adjustment of thousands of attempts is written down as, in the record of changes.
_RECORDED_MAX = 100


class PostgresBillStore(PostgresBills):
    """Implements `domain.bills.BillStore`."""

    async def adjust(
        self,
        request: AdjustRequest,
        cause: Cause,
        now: datetime,
        plan: Callable[[BookedDay], list[Correction]],
    ) -> tuple[Adjustment, bool]:
        """Write down what is to be corrected, and record it; or find it.

        Raises BillStateError where it is not known any more what was booked, and what `plan` does.
        """
        asked = _document(request, cause)
        async with self._database.transaction() as connection:
            await allow_long_transaction(connection, LONGEST)
            # Two of one key, or of one day, take turns; the second sees what the first has planned.
            for name in (
                f"key.{request.idempotency_key}",
                f"day.{request.day}.{request.provider}.{request.model}",
            ):
                await connection.execute(self._sql["lock_adjustment"], {"name": name})
            key = {"idempotency_key": request.idempotency_key}
            cursor = await connection.execute(self._sql["find_adjustment"], key)
            if row := await cursor.fetchone():
                _check_same(request.idempotency_key, row["request"], asked)
                return await self._read(connection, row["adjustment_id"]), True
            cursor = await connection.execute(self._sql["dropped_before"], {"day": request.day})
            if await cursor.fetchone():
                raise BillStateError(
                    "EVENTS_DROPPED",
                    f"The usage events of {request.day} are kept no more, and what services have"
                    " booked for their own calls of it is known by them alone.",
                )
            parts = plan(await self._booked(connection, request))
            adjustment_id = str(uuid_utils.uuid7())
            await connection.execute(
                self._sql["insert_adjustment"],
                {
                    **request._asdict(),
                    **cause._asdict(),
                    "adjustment_id": adjustment_id,
                    "request": Jsonb(asked),
                    "create_time": now,
                },
            )
            await self._insert_parts(connection, adjustment_id, parts)
            made = await self._read(connection, adjustment_id)
            await write_change(connection, _change(made, asked))
        return made, False

    async def finish_part(self, adjustment_id: str, position: int, refunded: int) -> None:
        """Write down that a part is in the ledger; and the whole, if it was the last."""
        parameters = {
            "adjustment_id": adjustment_id,
            "position": position,
            "refunded": refunded,
            "name": f"finish.{adjustment_id}",
        }
        async with self._database.transaction() as connection:
            # The last two must not each miss the other.
            await connection.execute(self._sql["lock_adjustment"], parameters)
            await connection.execute(self._sql["finish_part"], parameters)
            await connection.execute(self._sql["finish_adjustment"], parameters)

    async def adjustments(self, provider: str, before: str, limit: int) -> list[Adjustment]:
        """Return a page, the latest first."""
        async with self._database.transaction() as connection:
            return await self._listed(connection, provider=provider, before=before, limit=limit)

    async def adjustment(self, adjustment_id: str) -> Adjustment:
        """Return one with all its parts."""
        async with self._database.transaction() as connection:
            return await self._read(connection, adjustment_id)

    async def unfinished(self, but: Sequence[str], limit: int) -> list[str]:
        """Return the ids of adjustments that are not finished, the oldest first."""
        parameters = {"but": list(but), "limit": limit}
        rows = await self._database.rows(self._sql["list_unfinished"], parameters)
        return [row["adjustment_id"] for row in rows]

    async def _booked(self, connection: Connection, request: AdjustRequest) -> BookedDay:
        wanted = DayFilter(request.day, request.day, request.provider, request.model)
        days = await read_days(connection, wanted, 0, [""] * 3, None)
        day = days[0] if days else BillDay(request.day, request.provider, request.model, False)
        attempts = await read_presumed(connection, wanted, [""] * 6, None)
        cursor = await connection.execute(
            self._sql["book_by_tenant"],
            {"start_day": request.day, "provider": request.provider, "model": request.model},
        )
        by_tenant = {row["tenant"]: row["micros"] for row in await cursor.fetchall()}
        return BookedDay(day, attempts, by_tenant)

    async def _insert_parts(
        self, connection: Connection, adjustment_id: str, parts: Sequence[Correction]
    ) -> None:
        rows = [part._asdict() for part in parts]
        columns = {name: [row[name] for row in rows] for name in Correction._fields}
        columns["refund"] = [part.refund.value for part in parts]
        await connection.execute(
            self._sql["insert_parts"], {**columns, "adjustment_id": adjustment_id}
        )

    async def _read(self, connection: Connection, adjustment_id: str) -> Adjustment:
        (found,) = await self._listed(connection, adjustment_id=adjustment_id, limit=1)
        return found

    async def _listed(self, connection: Connection, **wanted: Any) -> list[Adjustment]:
        parameters = {"adjustment_id": "", "provider": "", "before": "", **wanted}
        cursor = await connection.execute(self._sql["read_adjustments"], parameters)
        rows = await cursor.fetchall()
        ids = [row["adjustment_id"] for row in rows]
        cursor = await connection.execute(self._sql["read_parts"], {"adjustment_ids": ids})
        parts: dict[str, list[Correction]] = {}
        for row in await cursor.fetchall():
            parts.setdefault(row["adjustment_id"], []).append(_part(row))
        return [_adjustment(row, parts[row["adjustment_id"]]) for row in rows]


def _document(request: AdjustRequest, cause: Cause) -> dict[str, Any]:
    fields = request._asdict()
    del fields["idempotency_key"]
    return {**fields, "day": request.day.isoformat(), "reason": cause.reason}


def _check_same(key: str, first: dict[str, Any], asked: dict[str, Any]) -> None:
    fields = sorted(name for name in asked if first.get(name) != asked[name])
    if fields:
        raise IdempotencyKeyReused(key, fields)


def _adjustment(row: DictRow, parts: Sequence[Correction]) -> Adjustment:
    request = AdjustRequest(
        row["idempotency_key"],
        row["day"],
        row["provider"],
        row["model"],
        row["request"]["account"],
        row["request"]["keep_charges"],
    )
    return Adjustment(
        row["adjustment_id"],
        request,
        Cause(row["actor"], row["reason"]),
        row["create_time"],
        row["finish_time"],
        tuple(parts),
    )


def _part(row: DictRow) -> Correction:
    return Correction(
        account=row["account"],
        cost=row["cost_micros"],
        generation_id=row["generation_id"] or "",
        attempt=row["attempt"] or 0,
        reservation_id=row["reservation_id"] or "",
        refund=RefundPart(row["refund"]),
        position=row["position"],
        refunded=row["refunded_micros"],
        finish_time=row["finish_time"],
    )


def _change(made: Adjustment, asked: dict[str, Any]) -> Change:
    return Change(
        tenant=PLATFORM,
        account="",
        method="AdjustBillDay",
        resource_type="bill_adjustment",
        resource=made.adjustment_id,
        cause=made.cause,
        before=None,
        after={
            **asked,
            "amount": made.amount,
            "part_count": len(made.parts),
            "parts": [
                {"account": part.account, "amount": part.cost, "refund": part.refund.value}
                for part in made.parts[:_RECORDED_MAX]
            ],
        },
        change_time=made.create_time,
    )
