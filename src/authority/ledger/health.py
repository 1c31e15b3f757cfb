"""What the ledger can tell of how everything is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from psycopg.rows import DictRow

from authority.ledger.database import Database
from authority.ledger.migrate import pending
from authority.ledger.queries import statements

_SQL = statements("health.sql")


class ServerState(NamedTuple):
    """How Postgres is, and which migrations of this version it lacks."""

    version: str
    is_read_only: bool
    missing_migrations: list[str]


class Audits(NamedTuple):
    """What the last audits found: tenants whose books differ, and how many were not audited."""

    differing: list[str]
    difference_count: int
    overdue_count: int


class HealthReader:
    """Every method raises Unavailable."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def _row(self, name: str, **parameters: Any) -> DictRow:
        (row,) = await self._database.rows(_SQL[name], parameters)
        return row

    async def server(self) -> ServerState:
        """Return how Postgres is."""
        row = await self._row("server")
        async with self._database.connection() as connection:
            missing = await pending(connection)
        return ServerState(row["version"].partition(" ")[0], row["is_read_only"], missing)

    async def time_ms(self) -> float:
        """Return the Unix time of Postgres in milliseconds."""
        return float((await self._row("time"))["now_ms"])

    async def epoch(self) -> int:
        """Return the present epoch."""
        return int((await self._row("epoch"))["epoch"])

    async def expired(self, now_ms: int) -> tuple[int, int]:
        """Return how many reservations should have expired, up to 1000, and when the first was."""
        row = await self._row("expired", now_ms=now_ms)
        return row["count"], row["first_ms"]

    async def usage_lag(self) -> tuple[int, int]:
        """Return of how many tenants the usage log lacks operations, and the time of the first."""
        row = await self._row("usage_lag")
        return row["count"], row["first_ms"]

    async def record_audit(self, tenant: str, difference_count: int) -> None:
        """Keep how an audit of a tenant ended, just now."""
        parameters = {
            "tenant": tenant,
            "audit_ms": self._now_ms(),
            "difference_count": difference_count,
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL["record_audit"], parameters)

    async def audits(self, since_ms: int) -> Audits:
        """Return what the last audits found; those before a time are overdue."""
        row = await self._row("audits", since_ms=since_ms)
        return Audits(row["differing"], row["difference_count"], row["overdue_count"])

    async def untold_alerts(self) -> tuple[int, int]:
        """Return how many alerts wait to be told, and since when the first does."""
        row = await self._row("untold_alerts")
        return row["count"], row["first_ms"]
