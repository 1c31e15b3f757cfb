"""`paymaster credits`: what an account has to pay with, and how it gets more."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from clients.amounts import Unit
from clients.credit_types import CreditStatus
from clients.requests import new_key
from paymaster.cli.accounts import account_argument, balance_table
from paymaster.cli.base import command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.grants import grant_table
from paymaster.cli.money import BadAmount, format_amount, format_usd, parse_amount
from paymaster.cli.output import Column, Output, Table, minor, one_line, right
from paymaster.cli.prices import price_table
from paymaster.cli.times import time_option

_STATUS_COLUMNS = (
    Column("account"),
    Column("plan"),
    minor("tier"),
    minor("prepaid_units"),
    right("free_images"),
    right("credits"),
    right("paid_credits"),
    Column("reserved_credits", right=True, minor=True),
    right("month_spend"),
    right("month_cap"),
)
_ALLOWANCE_COLUMNS = (
    Column("unit"),
    Column("recurrence"),
    right("amount"),
    right("available"),
    Column("reserved", right=True, minor=True),
    Column("reset_time"),
    minor("grant_id"),
)


@group
def credits() -> None:  # noqa: A001  # The command's name.
    """Show what an account has to pay with, and give it more."""


@command(credits, "status")
@account_argument
async def status(*, output: Output, data_dir: Path | None, account: str) -> None:
    """Show free images, credits, the month's spend and cap, and all windows."""
    async with connected(data_dir) as connection:
        found = await connection.usage.get_credit_status(account)
    output.show(
        {"credit_status": document_of(found)},
        _status_table(found),
        _allowance_table(found),
        balance_table(found.windows),
        price_table(found.price_list),
    )


@command(credits, "top-up")
@account_argument
@click.option("--credits", "amount", required=True, metavar="N", help="How many, such as 25.")
@click.option("--price", default="0", metavar="USD", help="What was paid for them, such as 9.99.")
@time_option("--expire-time", "Until when they may be spent; for ever if not given.")
@click.option("--source", default="purchase", show_default=True, metavar="TEXT", help="A word.")
@reason_option
@click.option(
    "--key",
    metavar="TEXT",
    help="The idempotency key, such as the order's id: with it the same command grants once.",
)
async def top_up(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    amount: str,
    price: str,
    expire_time: datetime | None,
    source: str,
    reason: str,
    key: str | None,
) -> None:
    """Give an account credits that were paid for.

    Said again with the same --key it grants nothing more, and shows what it has granted.
    """
    try:
        granted = parse_amount(amount, Unit.CREDITS)
    except BadAmount as error:
        raise click.BadParameter(str(error), param_hint="--credits") from None
    try:
        paid = parse_amount(price, Unit.USD)
    except BadAmount as error:
        raise click.BadParameter(str(error), param_hint="--price") from None
    async with connected(data_dir) as connection:
        made = await connection.admin.create_grant(
            account,
            unit=Unit.CREDITS,
            amount=granted,
            price=paid,
            expire_time=expire_time,
            source=source,
            reason=reason,
            idempotency_key=key or new_key(),
        )
    output.show({"grant": document_of(made)}, grant_table([made]))


def _status_table(found: CreditStatus) -> Table:
    return Table(
        _STATUS_COLUMNS,
        [
            [
                found.account,
                found.plan or "-",
                found.tier or "any",
                one_line(found.prepaid_units),
                str(found.free_images),
                format_amount(found.credits, Unit.CREDITS),
                format_amount(found.paid_credits, Unit.CREDITS),
                format_amount(found.reserved_credits, Unit.CREDITS),
                format_usd(found.month_spend),
                format_usd(found.month.budget.limit) if found.month else "-",
            ]
        ],
    )


def _allowance_table(found: CreditStatus) -> Table:
    return Table(
        _ALLOWANCE_COLUMNS,
        [
            [
                row.unit,
                row.recurrence,
                *(format_amount(n, row.unit) for n in (row.amount, row.available, row.reserved)),
                time_text(row.reset_time),
                row.grant_id,
            ]
            for row in found.allowances
        ],
    )
