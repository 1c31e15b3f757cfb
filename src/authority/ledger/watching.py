"""What detectors look through, in Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from authority.domain.alert_params import RuleParams
from authority.domain.alerts import NewAlert
from authority.domain.error_rates import Cases
from authority.domain.ids import PLATFORM
from authority.domain.money import Unit
from authority.domain.watching import (
    EXCUSED,
    DaySpend,
    ExpiringGrant,
    IdleHolds,
    SpendingWindow,
    WatchRun,
)
from authority.ledger.alerts import raise_alert
from authority.ledger.database import Database
from authority.ledger.queries import statements
from authority.ledger.store import window_counts, window_ref


class PostgresWatch:
    """Implements `domain.watching.WatchStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("watching.sql")

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        return await self._database.rows(self._sql[name], parameters)

    async def rule_params(self) -> list[RuleParams]:
        """Return what enabled rules set."""
        return [RuleParams(**row) for row in await self._rows("rule_params")]

    async def chains(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the accounts above each, itself first and `platform` last."""
        rows = await self._rows("chains", accounts=list(accounts))
        return {row["of"]: (*row["chain"], PLATFORM) for row in rows}

    async def runs(self) -> list[WatchRun]:
        """Return when which detector last looked."""
        return [WatchRun(**row) for row in await self._rows("last_runs")]

    async def note_run(self, run: WatchRun) -> None:
        """Say that a detector has looked."""
        async with self._database.connection() as connection:
            await connection.execute(self._sql["note_run"], run._asdict())

    async def raise_alert(self, alert: NewAlert) -> bool:
        """Raise an alert; False: its like had been raised."""
        async with self._database.transaction() as connection:
            return await raise_alert(connection, alert)

    async def expiring_grants(
        self, now_ms: int, until_ms: int, after: tuple[int, str], limit: int
    ) -> list[ExpiringGrant]:
        """Return grants by their expiry, of which none was said yet, behind an expiry and id."""
        rows = await self._rows(
            "expiring_grants",
            now_ms=now_ms,
            until_ms=until_ms,
            after_ms=after[0],
            after_id=after[1],
            limit=limit,
        )
        return [
            ExpiringGrant(
                row["grant_id"],
                row["account"],
                Unit(row["unit"]),
                row["amount"],
                row["expire_ms"],
                row["left_amount"],
            )
            for row in rows
        ]

    async def spending_windows(self, since_ms: int, after: int, limit: int) -> list[SpendingWindow]:
        """Return windows of weeks and months by budget, behind a budget's key."""
        rows = await self._rows("spending_windows", since_ms=since_ms, after=after, limit=limit)
        return [SpendingWindow(row["account"], window_ref(row), window_counts(row)) for row in rows]

    async def idle_holds(self, now_ms: int, before_ms: int, limit: int) -> list[IdleHolds]:
        """Return accounts whose open reservations were all made before a time."""
        rows = await self._rows("idle_holds", now_ms=now_ms, before_ms=before_ms, limit=limit)
        return [IdleHolds(**row) for row in rows]

    async def provider_cases(self, start: datetime, end: datetime) -> Mapping[str, Cases]:
        """Count what providers were asked, by the quarter of an hour."""
        return await self._cases("provider_cases", start, end)

    async def usual_cases(self, start: datetime, end: datetime) -> Mapping[str, Cases]:
        """Count what providers were asked, by the hour."""
        return await self._cases("usual_cases", start, end)

    async def _cases(self, name: str, start: datetime, end: datetime) -> Mapping[str, Cases]:
        rows = await self._rows(name, start=start, end=end, excused=list(EXCUSED))
        return {row["provider"]: Cases(row["total"], row["failed"]) for row in rows}

    async def spent_today(self, now: datetime, least: int, limit: int) -> list[DaySpend]:
        """Return who was charged at least so much today."""
        rows = await self._rows("spent_today", now=now, least=least, limit=limit)
        return [DaySpend(**row) for row in rows]
