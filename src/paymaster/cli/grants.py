"""`paymaster grants`: what was paid ahead or given for free."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from clients.amounts import Unit
from clients.balance_types import Grant
from clients.types import Window
from paymaster.cli.accounts import account_argument
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.output import Column, Output, Table, minor, right
from paymaster.cli.times import time_option

_COLUMNS = (
    Column("grant_id"),
    minor("account"),
    Column("state"),
    Column("recurrence", minor=True),
    right("amount"),
    Column("reserved", right=True, minor=True),
    Column("committed", right=True, minor=True),
    right("available"),
    Column("priority", right=True, minor=True),
    Column("price", right=True, minor=True),
    minor("source"),
    minor("expire_time"),
)
# WINDOW_TOTAL is no recurrence.
_RECURRENCES = [Window.HOUR, Window.DAY, Window.WEEK, Window.MONTH]
_DAYS_MAX = 3650
_key_option = click.option(
    "--key",
    metavar="TEXT",
    help="The idempotency key: the same command with the same key has one effect.",
)


@group
def grants() -> None:
    """Give accounts prepaid or free amounts, list and void them."""


@command(grants, "list")
@account_argument
@click.option("--unit", type=choice(Unit), help="Only grants in this unit.")
async def list_grants(
    *, output: Output, data_dir: Path | None, account: str, unit: Unit | None
) -> None:
    """List the grants of an account, the latest first."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.admin.list_grants(account, unit=unit)]
    output.show({"grants": document_of(found)}, grant_table(found))


@command(grants, "create")
@account_argument
@click.option("--unit", type=choice(Unit), required=True, help="What it counts.")
@click.option("--amount", required=True, help="How much: 0.50 for dollars, 25 for counts.")
@click.option(
    "--recurrence",
    type=click.Choice(_RECURRENCES, case_sensitive=False),
    help="Grant the amount anew in every such period; what is left of it expires with it.",
)
@click.option("--priority", type=int, default=0, metavar="N", help="Lower ones are spent first.")
@time_option("--effective-time", "From when on; at once if not given.")
@time_option("--expire-time", "Until when; for ever if not given.")
@click.option(
    "--refund-grace-days",
    type=click.IntRange(1, _DAYS_MAX),
    metavar="N",
    help="How long what is refunded after it has expired may be spent; forfeited if not given.",
)
@click.option("--source", default="", metavar="TEXT", help="A word for reports, such as purchase.")
@click.option("--price", default="0", metavar="USD", help="What was paid for it, such as 9.99.")
@reason_option
@_key_option
async def create_grant(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    unit: Unit,
    amount: str,
    recurrence: Window | None,
    priority: int,
    effective_time: datetime | None,
    expire_time: datetime | None,
    refund_grace_days: int | None,
    source: str,
    price: str,
    reason: str,
    key: str | None,
) -> None:
    """Grant an account an amount, which it and the accounts below it may spend."""
    try:
        steps = parse_amount(amount, unit)
    except BadAmount as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None
    try:
        paid = parse_amount(price, Unit.USD)
    except BadAmount as error:
        raise click.BadParameter(str(error), param_hint="--price") from None
    async with connected(data_dir) as connection:
        made = await connection.admin.create_grant(
            account,
            unit=unit,
            amount=steps,
            priority=priority,
            effective_time=effective_time,
            expire_time=expire_time,
            recurrence=recurrence,
            refund_grace=None if refund_grace_days is None else timedelta(days=refund_grace_days),
            source=source,
            price=paid,
            reason=reason,
            idempotency_key=key,
        )
    output.show({"grant": document_of(made)}, grant_table([made]))


@command(grants, "void")
@click.argument("grant_id")
@reason_option
@_key_option
async def void_grant(
    *, output: Output, data_dir: Path | None, grant_id: str, reason: str, key: str | None
) -> None:
    """Take back what is left of a grant; open reservations keep what they hold of it."""
    async with connected(data_dir) as connection:
        voided = await connection.admin.void_grant(grant_id, reason=reason, idempotency_key=key)
    output.show({"grant": document_of(voided)}, grant_table([voided]))


def grant_table(found: Sequence[Grant]) -> Table:
    """Return grants with their numbers as a table."""
    return Table(_COLUMNS, [_row(item) for item in found])


def _row(grant: Grant) -> list[str]:
    amount, reserved, committed, available = (
        format_amount(number, grant.unit)
        for number in (grant.amount, grant.reserved, grant.committed, grant.available)
    )
    return [
        grant.grant_id,
        grant.account,
        grant.state,
        grant.recurrence or "-",
        f"{amount} {grant.unit}",
        reserved,
        committed,
        available,
        str(grant.priority),
        format_amount(grant.price, Unit.USD),
        grant.source,
        time_text(grant.expire_time),
    ]
