"""`paymaster changes`: who changed what, when and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from clients.change_types import Change
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.output import Column, Output, Table, minor, wide

_COLUMNS = (
    minor("change_number"),
    Column("change_time"),
    Column("method"),
    Column("resource"),
    wide("actor"),
    wide("reason"),
    wide("changed"),
)
_COUNT_DEFAULT = 100


@command(name="changes")
@click.option("--tenant", default="", metavar="ID", help="Only changes of this tenant's.")
@click.option(
    "--account",
    default="",
    metavar="ID",
    help="Only changes of this account, its budgets and its grants.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
async def changes(
    *, output: Output, data_dir: Path | None, tenant: str, account: str, count: int
) -> None:
    """List who changed what, when and why, the latest first."""
    found: list[Change] = []
    async with connected(data_dir) as connection:
        async for change in connection.admin.list_changes(tenant=tenant, account=account):
            found.append(change)
            if len(found) == count:
                break
    output.show({"changes": document_of(found)}, _table(found))


def _table(found: Sequence[Change]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                str(item.change_number),
                time_text(item.change_time),
                item.method,
                item.resource,
                item.actor,
                item.reason,
                _changed(item),
            ]
            for item in found
        ],
    )


def _changed(change: Change) -> str:
    """Say which fields were changed, as JSON of their new values; nothing for what is new."""
    before = change.before
    if before is None:
        return ""
    fields = {
        name: value
        for name, value in change.after.items()
        if before.get(name) != value and name != "update_time"
    }
    return json.dumps(fields, ensure_ascii=False)
