"""An audit that reads only what changed of late: for books that are long, beside the whole one."""

from __future__ import annotations

from datetime import timedelta

from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.past_use import moment_of
from authority.ledger.queries import statements

# Longer than any day is, so that the windows of this day and of this hour are looked at.
_LATE = timedelta(hours=26)
_LONGEST = "60s"

# Place, subject, field, what was expected and what was found.
Found = tuple[str, str, str, str, str]


class LightAudit:
    """Recomputes the windows that began within a day from their entries, and what is held."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("light_audit.sql")

    async def size(self, tenant: str) -> int:
        """Return how many operations a tenant's ledger has. Raises Unavailable."""
        (row,) = await self._database.rows(self._sql["size"], {"tenant": tenant})
        return int(row["operation_count"])

    async def audit(self, tenant: str, now_ms: int) -> list[Found]:
        """Return what is not as it should be, in one snapshot; it is recorded.

        Raises Unavailable.
        """
        since = moment_of(now_ms) - _LATE
        parameters = {
            "tenant": tenant,
            "since": since,
            "since_ms": round(since.timestamp() * 1000),
        }
        found: list[Found] = []
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await allow_long_transaction(connection, _LONGEST)
            for name in ("unbalanced", "windows", "holds"):
                cursor = await connection.execute(self._sql[name], parameters)
                found += [
                    (row["place"], row["subject"], row["field"], row["expected"], row["found"])
                    for row in await cursor.fetchall()
                ]
        run = {"tenant": tenant, "audit_ms": now_ms, "difference_count": len(found)}
        async with self._database.connection() as connection:
            await connection.execute(self._sql["record"], run)
        return found
