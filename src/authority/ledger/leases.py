"""Leases of the platform's budgets in Postgres, where they are given and taken.

A lease is raised here first and then in the hot store, and lowered in the hot store first: what is
here is never less than what a slot decides over, whoever dies in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.budgets import WindowRef
from authority.domain.crossings import Crossing
from authority.domain.ids import PLATFORM
from authority.domain.leases import Lease, Need, Standing, grown
from authority.domain.money import Unit
from authority.domain.windows import Window
from authority.ledger.alerts import raise_alert
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "leases.sql"
_NONE = Lease(0, 0)


class LeaseSum(NamedTuple):
    """A window of the platform's budget, and those who have a lease of it."""

    budget: str
    start_ms: int
    limit: int
    refs: Mapping[str, WindowRef]  # by tenant


class PostgresLeases:
    """Implements `domain.leases.LeaseLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def leases(
        self, refs: Collection[WindowRef], *, counted: bool = False
    ) -> dict[WindowRef, Lease]:
        """Return leases as the hot store is told, or as they are counted; 0 where there is none."""
        rows = await self._database.rows(
            self._sql["read_leases"],
            {
                "share_key": [ref.budget_key for ref in refs],
                "start_ms": [ref.start_ms for ref in refs],
                "counted": counted,
            },
        )
        found = {(row["share_key"], row["window_start_ms"]): _lease(row) for row in rows}
        return {ref: found.get((ref.budget_key, ref.start_ms), _NONE) for ref in refs}

    async def grow(self, ref: WindowRef, needs: Sequence[Need], *, partial: bool) -> Lease | None:
        """Lease more of a window, in its tenant's name; None if there is too little."""
        place = _place(ref)
        async with self._database.transaction() as connection:
            budgets = await self._rows(connection, "lock_budget", place)
            if not budgets:
                return None
            (budget,) = budgets
            # A statement after the lock, so that it sees what others were given before.
            wanted = place | {"budget_key": budget["budget_key"]}
            (taken,) = await self._rows(connection, "taken", wanted)
            amount = grown(
                budget["limit_amount"], taken["others"], taken["own"], needs, partial=partial
            )
            if amount is None:
                return None
            # Where more is counted than a lowered limit allows, the slot has less than that.
            counted = {"amount": max(amount, taken["own"])}
            (row,) = await self._rows(connection, "put_lease", place | counted)
        return Lease(amount, row["version"])

    async def begin_shrink(self, ref: WindowRef, amount: int) -> Lease | None:
        """Say that a lease is to be lowered; return it, as it still counts; None if it is low."""
        rows = await self._database.rows(
            self._sql["begin_shrink"], _place(ref) | {"amount": amount}
        )
        return _lease(rows[0]) if rows else None

    async def end_shrink(self, ref: WindowRef, lease: Lease, epoch: int) -> bool:
        """Count a lease as what the hot store has lowered it to; False if that is outdated."""
        parameters = _place(ref) | lease._asdict() | {"epoch": epoch}
        return bool(await self._database.rows(self._sql["end_shrink"], parameters))

    async def idle(self, ref: WindowRef, limit: int) -> list[Standing]:
        """Return what other tenants have leased of the same window and do not use, most first."""
        rows = await self._database.rows(self._sql["idle_leases"], _place(ref) | {"limit": limit})
        return [_standing(row, ref.unit, is_fresh=row["is_fresh"]) for row in rows]

    async def over_leased(self) -> list[Standing]:
        """Return the leases of windows of which more is taken than a lowered limit allows."""
        rows = await self._database.rows(self._sql["over_leased"], {})
        return [_standing(row, Unit(row["unit"])) for row in rows]

    async def standing(self, now_ms: int, limit: int) -> list[Standing]:
        """Return the leases of the windows in force, those changed last first."""
        rows = await self._database.rows(
            self._sql["standing_leases"], {"now_ms": now_ms, "limit": limit}
        )
        return [_standing(row, Unit(row["unit"])) for row in rows]

    async def leased_windows(self, tenant: str) -> list[WindowRef]:
        """Return the windows of which a tenant ever had a lease."""
        rows = await self._database.rows(self._sql["leased_windows"], {"tenant": tenant})
        return [
            WindowRef(row["share_key"], row["window_start_ms"], Unit(row["unit"])) for row in rows
        ]

    async def over_limit(self) -> list[LeaseSum]:
        """Return the windows of which more is counted as leased than their limit."""
        rows = await self._database.rows(self._sql["over_limit"], {})
        return [
            LeaseSum(
                row["budget"],
                row["window_start_ms"],
                row["limit_amount"],
                {
                    tenant: WindowRef(key, row["window_start_ms"], Unit(row["unit"]))
                    for tenant, key in zip(row["tenants"], row["share_keys"], strict=True)
                },
            )
            for row in rows
        ]

    async def alert_thresholds(self, now_ms: int) -> int:
        """Raise an alert for each threshold that all tenants together have reached, once."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        async with self._database.transaction() as connection:
            rows = await self._rows(connection, "platform_crossings", {"now_ms": now_ms})
            return sum([await raise_alert(connection, _crossing(row, now).alert()) for row in rows])

    async def _rows(
        self, connection: AsyncConnection[DictRow], name: str, parameters: dict[str, Any]
    ) -> list[DictRow]:
        cursor = await connection.execute(self._sql[name], parameters)
        return await cursor.fetchall()


def _standing(row: DictRow, unit: Unit, *, is_fresh: bool = False) -> Standing:
    ref = WindowRef(row["share_key"], row["window_start_ms"], unit)
    return Standing(row["tenant"], ref, _lease(row), row["used"], is_fresh)


def _crossing(row: DictRow, now: datetime) -> Crossing:
    return Crossing(
        WindowRef(row["budget_key"], row["start_ms"], Unit(row["unit"])),
        row["percent"],
        row["net"],
        row["limit_amount"],
        0,
        PLATFORM,
        row["budget"],
        Window(row["window"]),
        now,
    )


def _lease(row: DictRow) -> Lease:
    return Lease(row["amount"], row["version"])


def _place(ref: WindowRef) -> dict[str, Any]:
    return {"share_key": ref.budget_key, "start_ms": ref.start_ms}
