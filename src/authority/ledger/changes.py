"""The record of changes in Postgres: rows are written in the transaction of the change itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.callers import Cause
from authority.domain.changes import Change, ChangeFilter
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FILE = "changes.sql"


async def write_change(connection: AsyncConnection[DictRow], change: Change) -> None:
    """Write a change in the transaction that makes it."""
    await write_changes(connection, [change])


async def write_changes(connection: AsyncConnection[DictRow], changes: Sequence[Change]) -> None:
    """Write one or more changes in the transaction that makes them."""
    rows = [change_row(change) for change in changes]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    await connection.execute(statements(_FILE)["insert_changes"], columns)


async def list_changes(
    database: Database, wanted: ChangeFilter, before: int, limit: int
) -> list[Change]:
    """Return a page of changes, the latest first: of those before a number; of all for 0."""
    parameters = {**wanted._asdict(), "before": before, "limit": limit}
    rows = await database.rows(statements(_FILE)["list_changes"], parameters)
    return [_change(row) for row in rows]


def change_row(change: Change) -> dict[str, Any]:
    """Return a change as a row of the table."""
    return {
        "tenant": change.tenant,
        "account": change.account,
        "method": change.method,
        "resource_type": change.resource_type,
        "resource": change.resource,
        "actor": change.cause.actor,
        "reason": change.cause.reason,
        "before": None if change.before is None else json.dumps(change.before),
        "after": json.dumps(change.after),
        "change_time": change.change_time,
    }


def _change(row: DictRow) -> Change:
    cause = Cause(row.pop("actor"), row.pop("reason"))
    return Change(cause=cause, **row)
