"""Makes the usage log of operations: events, their sums and how far it is, in one transaction.

The whole of it is done by Postgres, in one statement for many operations of many tenants, so that
the process that answers callers has next to nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from authority.ledger.alerts import record_crossings
from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements
from authority.ledger.usage_calendar import GRAINS
from authority.ledger.usage_sums import keep_sums, sums_of_events

_FILE = "usage_projection.sql"
# Each tenant gets at least so many in a transaction.
_SHARE_MIN = 20
_LONGEST = "60s"


class Projected(NamedTuple):
    """What was added to the log: operations of a tenant from behind `after` up to `through`."""

    tenant: str
    after: int
    through: int
    operation_count: int
    is_all: bool  # as far as was known when it began


class UsageProjection:
    """Writes the log. Safe in several processes: one of them writes at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def behind(self, limit: int) -> list[str]:
        """Return tenants whose operations are not all in the log. Raises Unavailable."""
        rows = await self._database.rows(self._sql["tenants_behind"], {"limit": limit})
        return [row["tenant"] for row in rows]

    async def project(self, tenants: Sequence[str], limit: int) -> list[Projected] | None:
        """Add the next operations of tenants to the log, about `limit` in all.

        None says that another process is at it. Either all is written, with how far it is, or
        nothing is. Raises Unavailable.
        """
        share = max(_SHARE_MIN, limit // max(1, len(tenants)))
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._sql["lock_projector"])
            row = await cursor.fetchone()
            if row is None or not row["locked"]:
                return None
            # It keeps nobody waiting, and on a busy server may take longer than what does.
            await allow_long_transaction(connection, _LONGEST)
            # By what it costs Postgres would plan it anew for each transaction, which takes as long
            # as to write some hundred operations.
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor = await connection.execute(
                _statement(),
                {"tenants": list(tenants), "limit": share, "grains": list(GRAINS)},
                prepare=True,
            )
            rows = await cursor.fetchall()
            for found in rows:
                if found["has_crossed"]:
                    await record_crossings(
                        connection, found["tenant"], found["after"], found["through"]
                    )
        return [
            Projected(
                found["tenant"],
                found["after"],
                found["through"],
                found["operation_count"],
                found["operation_count"] < share,
            )
            for found in rows
        ]


@cache
def _statement() -> str:
    parts = statements(_FILE)
    return f"WITH {parts['events']}, {sums_of_events()}, {keep_sums()}, {parts['move_cursors']}"
