"""Alerts in Postgres: each is raised once, in the transaction of whoever has noticed."""

from __future__ import annotations

import json
from typing import Any

import uuid_utils
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.alerts import HEAD_START_MS, NewAlert
from authority.domain.budgets import WindowRef
from authority.domain.crossings import Crossing
from authority.domain.windows import Window
from authority.ledger.queries import statements

_FILE = "alerts.sql"

Rows = AsyncConnection[DictRow]


async def raise_alert(connection: Rows, alert: NewAlert) -> bool:
    """Raise an alert in the transaction under way; False: its like had been raised.

    Whoever is to be told is told by the delivery loop once the transaction has committed.
    """
    return await raise_by(connection, alert) is not None


async def raise_by(connection: Rows, alert: NewAlert, rule_id: str = "") -> str | None:
    """Raise an alert, by one rule alone if it is named; return its id, None if it is not new."""
    parameters = {**_row(alert), "rule_id": rule_id}
    cursor = await connection.execute(statements(_FILE)["raise_alert"], parameters)
    row = await cursor.fetchone()
    return None if row is None else str(row["alert_id"])


async def record_crossings(connection: Rows, tenant: str, after: int, through: int) -> int:
    """Raise an alert for each threshold that operations have crossed; return how many are new.

    The operations are the tenant's from behind the sequence `after` up to `through`. It is called
    in the transaction that says that these were looked at.
    """
    parameters = {"tenant": tenant, "after": after, "through": through}
    cursor = await connection.execute(statements(_FILE)["find_crossings"], parameters)
    crossings = [_crossing(row) for row in await cursor.fetchall()]
    return sum([await raise_alert(connection, crossing.alert()) for crossing in crossings])


def _crossing(row: DictRow) -> Crossing:
    return Crossing(
        WindowRef.parse(row["ref"]),
        row["percent"],
        row["net"],
        row["limit_amount"],
        row["requested"],
        row["account"],
        row["budget"],
        Window(row["window"]),
        row["create_time"],
    )


def _row(alert: NewAlert) -> dict[str, Any]:
    return {
        "alert_id": f"{alert.tenant}/{uuid_utils.uuid7()}",
        "kind": alert.kind,
        "tenant": alert.tenant,
        "account": alert.account,
        "dedup_key": alert.dedup_key,
        "severity": alert.severity,
        "summary": alert.summary,
        "details": json.dumps(dict(alert.details)),
        "raise_time": alert.raise_time,
        "raise_ms": round(alert.raise_time.timestamp() * 1000),
        "head_ms": HEAD_START_MS,
    }
