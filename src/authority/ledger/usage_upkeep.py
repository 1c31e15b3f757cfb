"""Upkeep of the usage log: its sums made anew, its months made ahead and dropped."""

from __future__ import annotations

from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements
from authority.ledger.usage_calendar import DAY, GRAINS, HOUR
from authority.ledger.usage_sums import keep_sums, sums_of_events, sums_of_quarters

_FILE = "usage_upkeep.sql"
_LONGEST = "2h"


class UsageUpkeep:
    """Every method raises Unavailable. Each waits for the projector, and keeps it out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)

    async def set_time_zone(self, time_zone: str) -> bool:
        """Count days and hours in a time zone from now on, and those of the past too.

        All of it is made of the quarters of an hour, in one transaction: readers see the old days
        until it is done. Return whether anything had to be done.
        """
        async with self._database.transaction() as connection:
            await allow_long_transaction(connection, _LONGEST)
            await connection.execute(self._sql["wait_for_projector"])
            cursor = await connection.execute(self._sql["set_time_zone"], {"time_zone": time_zone})
            if await cursor.fetchone() is None:
                return False
            for name in ("delete_rollups", "delete_totals", "delete_work_totals"):
                await connection.execute(self._sql[name])
            statement = f"WITH {sums_of_quarters()}, {keep_sums()} SELECT"
            await connection.execute(statement, {"grains": [DAY, HOUR]})
        return True

    async def make_months(self, now: datetime) -> None:
        """Make the partitions of this month and the next."""
        await self._database.rows(self._sql["make_months"], {"now": now})

    async def drop_months(self, before: datetime) -> list[str]:
        """Drop events of months that ended before; their sums stay. Return what was dropped."""
        rows = await self._database.rows(self._sql["drop_months"], {"before": before})
        return [row["dropped"] for row in rows]


async def add_sums(connection: AsyncConnection[DictRow], start: datetime, end: datetime) -> None:
    """Add the events of a time, which must not be in the sums yet, to them.

    For events that came in another way than by the projector, such as by COPY.
    """
    events = statements(_FILE)["events_of_time"]
    statement = f"WITH {events}, {sums_of_events()}, {keep_sums()} SELECT"
    await connection.execute(statement, {"start": start, "end": end, "grains": list(GRAINS)})
