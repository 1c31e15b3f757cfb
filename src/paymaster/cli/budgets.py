"""`paymaster budgets`: how much may be spent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clients.amounts import Unit
from clients.types import Budget, Enforcement, Window
from paymaster.cli.accounts import account_argument, balance_table
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.output import Column, Output, Table, right

_COLUMNS = (
    Column("account"),
    Column("budget"),
    Column("unit"),
    Column("window"),
    right("limit"),
    Column("enforcement"),
    Column("alerts at"),
)
_budget_argument = click.argument("budget")
_LIMIT_HELP = "The most that may be spent in one window: 0.50 for dollars, 25 for counts."
_enforcement_option = click.option(
    "--enforcement",
    type=choice(Enforcement),
    help="What happens when an amount does not fit: it is denied (block, the default), all but the"
    " last option is denied (downgrade), or it is only counted (notify).",
)
_alerts_option = click.option(
    "--alerts-at",
    "alerts_at",
    metavar="PERCENTS",
    help="Percents of the limit that raise alerts, such as 75,80,90,100, which is the default; or"
    " none.",
)


@group
def budgets() -> None:
    """List, read, create and change budgets."""


@command(budgets, "list")
@click.option("--account", default="", metavar="ID", help="Only budgets of this account.")
@click.option("--unit", type=choice(Unit), help="Only budgets in this unit.")
async def list_budgets(
    *, output: Output, data_dir: Path | None, account: str, unit: Unit | None
) -> None:
    """List budgets: how much each account may spend."""
    async with connected(data_dir) as connection:
        listed = connection.admin.list_budgets(account=account, unit=unit)
        found = [item async for item in listed]
    output.show({"budgets": document_of(found)}, _table(found))


@command(budgets, "get")
@account_argument
@_budget_argument
async def get_budget(*, output: Output, data_dir: Path | None, account: str, budget: str) -> None:
    """Show a budget with its numbers in the window of now."""
    async with connected(data_dir) as connection:
        found = await connection.admin.get_budget(account, budget)
        balances = (await connection.authority.get_balance(account)).balances
    own = [
        item for item in balances if (item.budget.account, item.budget.budget) == (account, budget)
    ]
    output.show(
        {"budget": document_of(found), "balance": document_of(own[0]) if own else None},
        _table([found]),
        balance_table(own),
    )


@command(budgets, "create")
@account_argument
@click.option(
    "--unit",
    type=choice(Unit),
    required=True,
    help="What it counts; reservations are those that are open at once, over the window total.",
)
@click.option("--window", type=choice(Window), required=True, help="The span it counts over.")
@click.option("--limit", required=True, metavar="AMOUNT", help=_LIMIT_HELP)
@_enforcement_option
@_alerts_option
@click.option("--budget", default="", metavar="ID", help="Unit and window if not given: usd-day.")
@reason_option
async def create_budget(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    unit: Unit,
    window: Window,
    limit: str,
    enforcement: Enforcement | None,
    alerts_at: str | None,
    budget: str,
    reason: str,
) -> None:
    """Make a budget; it binds the next Reserve."""
    amount = _limit(limit, unit)
    async with connected(data_dir) as connection:
        made = await connection.admin.create_budget(
            account,
            unit=unit,
            window=window,
            limit=amount,
            enforcement=enforcement,
            alert_thresholds=_percents(alerts_at),
            budget=budget,
            reason=reason,
        )
    output.show({"budget": document_of(made)}, _table([made]))


@command(budgets, "set")
@account_argument
@_budget_argument
@click.option("--limit", metavar="AMOUNT", help=_LIMIT_HELP)
@_enforcement_option
@_alerts_option
@reason_option
async def set_budget(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    budget: str,
    limit: str | None,
    enforcement: Enforcement | None,
    alerts_at: str | None,
    reason: str,
) -> None:
    """Change a budget; the change binds the next Reserve."""
    if limit is None and enforcement is None and alerts_at is None:
        raise click.UsageError("Nothing to change: give --limit, --enforcement or --alerts-at.")
    async with connected(data_dir) as connection:
        # How a limit is written depends on what the budget counts.
        unit = (await connection.admin.get_budget(account, budget)).unit
        changed = await connection.admin.update_budget(
            account,
            budget,
            limit=None if limit is None else _limit(limit, unit),
            enforcement=enforcement,
            alert_thresholds=_percents(alerts_at),
            reason=reason,
        )
    output.show({"budget": document_of(changed)}, _table([changed]))


@command(budgets, "own")
@account_argument
@click.argument("limit", required=False, metavar="[AMOUNT]")
@reason_option
async def set_own_budget(
    *, output: Output, data_dir: Path | None, account: str, limit: str | None, reason: str
) -> None:
    """Set the monthly budget that a user wants for itself, in dollars.

    It is from 1 to 1000, and at most what the account's plan has for a month: 10 if no amount is
    given, or the plan's where that is lower. It binds the next Reserve, also for what was spent in
    this month before.
    """
    amount = 0 if limit is None else _limit(limit, Unit.USD)
    if limit is not None and not amount:
        raise click.BadParameter("a budget of one's own is from 1 to 1000.", param_hint="AMOUNT")
    async with connected(data_dir) as connection:
        made = await connection.admin.set_own_budget(account, amount, reason=reason)
    output.show({"budget": document_of(made)}, _table([made]))


def _limit(text: str, unit: Unit) -> int:
    try:
        return parse_amount(text, unit)
    except BadAmount as error:
        raise click.BadParameter(str(error), param_hint="--limit") from None


def _percents(text: str | None) -> list[int] | None:
    if text is None or text == "none":
        return None if text is None else []
    parts = [part.strip().removesuffix("%") for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise click.BadParameter(
            f"must be percents such as 75,90,100, or none, not {text!r}", param_hint="--alerts-at"
        )
    return [int(part) for part in parts]


def _table(found: Sequence[Budget]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                item.account,
                item.budget,
                item.unit,
                item.window,
                format_amount(item.limit, item.unit),
                item.enforcement,
                " ".join(f"{percent}%" for percent in item.alert_thresholds) or "none",
            ]
            for item in found
        ],
    )
