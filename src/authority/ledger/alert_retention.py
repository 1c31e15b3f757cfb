"""Alerts that were kept for long enough go, with what became of telling them.

An alert's case stays (`alert_case`), a line of its kind and key: what was told once, however long
ago, is never told again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from authority.ledger.database import Database
from authority.ledger.queries import statements

# So many at once hold up nobody, and are far from the time that a statement has.
BATCH_MAX = 500


class AlertRetention:
    """Implements `domain.watching.Retention`. Safe in many processes at once."""

    def __init__(self, database: Database, kept: timedelta) -> None:
        self._database = database
        self._kept = kept
        self._sql = statements("alert_retention.sql")

    async def delete_some(self, now: datetime) -> int:
        """Delete some of what is due; return how many alerts and deliveries. 0: all is done.

        A delivery that is still to be told stays, and so does its alert. Raises Unavailable.
        """
        parameters = {"before": now - self._kept, "limit": BATCH_MAX}
        deliveries = await self._database.rows(self._sql["delete_deliveries"], parameters)
        alerts = await self._database.rows(self._sql["delete_alerts"], parameters)
        return len(deliveries) + len(alerts)
