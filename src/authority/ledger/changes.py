"""The record of changes in Postgres: rows are written in the transaction of the change itself."""

from __future__ import annotations

import json
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
    row = {name: [value] for name, value in change_row(change).items()}
    await connection.execute(statements(_FILE)["insert_changes"], row)


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
