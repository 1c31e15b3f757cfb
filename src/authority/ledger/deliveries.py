"""Deliveries in Postgres: who tries which, and what became of it."""

from __future__ import annotations

import json

import uuid_utils

from authority.domain.alerts import (
    Attempt,
    Channel,
    ChannelType,
    DeliveryState,
)
from authority.domain.deliveries import ClaimedDelivery, Outcome
from authority.ledger.alert_store import alert_of
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "deliveries.sql"


class PostgresDeliveries:
    """Hands deliveries to whoever tries them, each to one at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements(_FILE)
        self._lease = str(uuid_utils.uuid7())

    async def claim(
        self,
        now_ms: int,
        *,
        lease_ms: int,
        limit: int,
        of_channel: int,
        of_tenant: int,
        alert_id: str = "",
    ) -> list[ClaimedDelivery]:
        """Take deliveries that are due; of one alert alone if it is named.

        They are this process's for `lease_ms`. At most `of_channel` of one channel are under way,
        and `of_tenant` of the rules of one tenant.
        """
        parameters = {
            "now_ms": now_ms,
            "until_ms": now_ms + lease_ms,
            "limit": limit,
            "of_channel": of_channel,
            "of_tenant": of_tenant,
            "alert_id": alert_id,
            "lease": self._lease,
        }
        rows = await self._database.rows(self._sql["claim_deliveries"], parameters)
        return [
            ClaimedDelivery(
                delivery_id=row["delivery_id"],
                channel=Channel(
                    ChannelType(row["type"]),
                    row["url"] or "",
                    tuple(row["addresses"] or ()),
                    row["channel"],
                    row["secret"],
                ),
                is_gone=row["gone"],
                attempt_count=row["attempt_count"],
                begin_ms=row["begin_ms"],
                alert=alert_of(row),
            )
            for row in rows
        ]

    async def end(self, delivery_id: str, attempt: Attempt, outcome: Outcome) -> None:
        """Write down a try, and what follows from it."""
        is_open = outcome.state is DeliveryState.PENDING
        parameters = {
            "delivery_id": delivery_id,
            "attempt": json.dumps([list(attempt)]),
            "state": outcome.state,
            "due_ms": outcome.due_ms,
            "end_ms": 0 if is_open else attempt.time_ms,
            "lease": self._lease,
        }
        async with self._database.connection() as connection:
            await connection.execute(self._sql["end_attempt"], parameters)
