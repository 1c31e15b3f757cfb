"""`paymaster usage projection`: what budgets will be charged, and when they are exhausted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from clients.projection_types import Projection, Projections
from paymaster.cli.accounts import account_argument
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import format_amount
from paymaster.cli.output import Column, Output, Table, minor, note, right

_COLUMNS = (
    minor("account"),
    Column("budget"),
    Column("window"),
    minor("window_end_time"),
    right("limit"),
    right("charged"),
    right("expected"),
    right("lower"),
    right("upper"),
    Column("exhausted"),
    minor("earliest"),
    Column("basis"),
)
_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3_600


@command(name="projection")
@account_argument
@click.argument("budget", required=False, default="")
async def projection(*, output: Output, data_dir: Path | None, account: str, budget: str) -> None:
    """Say what budgets will have been charged by the end of their windows.

    Without BUDGET, of all that bind the account. Four times out of five it will be between `lower`
    and `upper`. `exhausted` says in how long the limit will be reached, if that is before the end.
    """
    async with connected(data_dir) as connection:
        found = await connection.usage.get_projection(account, budget)
    output.show(document_of(found), _table(found))
    if output.for_people and any(
        row.expected is None and row.exhaust_time is None for row in found.projections
    ):
        note("What has no basis has less than three days of use behind it.")


def _table(found: Projections) -> Table:
    return Table(_COLUMNS, [_row(row, found.read_time) for row in found.projections])


def _row(row: Projection, now: datetime | None) -> list[str]:
    balance, unit = row.balance, row.balance.budget.unit
    amounts = (balance.committed - balance.refunded, row.expected, row.lower, row.upper)
    return [
        balance.budget.account,
        balance.budget.budget,
        balance.budget.window,
        time_text(balance.window_end_time),
        format_amount(balance.budget.limit, unit),
        *("-" if amount is None else format_amount(amount, unit) for amount in amounts),
        _until(row.exhaust_time, now),
        _until(row.earliest_exhaust_time, now),
        f"{row.basis} ({row.history_days}d)",
    ]


def _until(moment: datetime | None, now: datetime | None) -> str:
    """Return how long it is until a time, in days or hours; a dash for never."""
    if moment is None or now is None:
        return "-"
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        return "now"
    if seconds < _DAY_SECONDS:
        return f"in {seconds / _HOUR_SECONDS:.1f}h"
    return f"in {seconds / _DAY_SECONDS:.1f}d"
