"""`paymaster balance` and `paymaster watch`: what an account may spend, or could at a time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from clients.balance_types import Balance
from paymaster.cli.accounts import account_argument, balance_table
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.grants import grant_table
from paymaster.cli.money import format_amount
from paymaster.cli.output import Column, Output, Table, right
from paymaster.cli.times import time_option

_WATCH_COLUMNS = (
    Column("read_time"),
    Column("account"),
    Column("budget"),
    Column("grant_id"),
    right("reserved"),
    right("committed"),
    right("refunded"),
    right("available"),
)


@command(name="balance")
@account_argument
@time_option("--as-of", "As the ledger has it at a time in the past.")
async def balance(
    *, output: Output, data_dir: Path | None, account: str, as_of: datetime | None
) -> None:
    """Show an account's budgets and grants, now or in the past.

    Those of the accounts above it bind it too, and are shown.
    """
    async with connected(data_dir) as connection:
        found = await connection.authority.get_balance(account, as_of_time=as_of)
    output.show(document_of(found), balance_table(found.balances), grant_table(found.grants))


@command(name="watch")
@account_argument
async def watch(*, output: Output, data_dir: Path | None, account: str) -> None:
    """Show an account's balance, and again when it changes.

    Ctrl-C ends it. With --json each balance is a document on a line of its own.
    """
    first = True
    async with connected(data_dir) as connection:
        async for found in connection.authority.watch_balance(account):
            output.show_next(document_of(found), _watch_table(found), first=first)
            first = False


def _watch_table(balance: Balance) -> Table:
    read = time_text(balance.read_time)
    rows = [
        [
            read,
            item.budget.account,
            item.budget.budget,
            "-",
            *_numbers(
                (item.reserved, item.committed, item.refunded, item.available), item.budget.unit
            ),
        ]
        for item in balance.balances
    ]
    rows += [
        [
            read,
            item.account,
            "-",
            item.grant_id,
            *_numbers((item.reserved, item.committed, item.refunded, item.available), item.unit),
        ]
        for item in balance.grants
    ]
    return Table(_WATCH_COLUMNS, rows)


def _numbers(amounts: tuple[int, ...], unit: str) -> list[str]:
    return [format_amount(amount, unit) for amount in amounts]
