"""`paymaster reconcile`: what providers have billed beside what is booked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import TypeVar

import click

from clients.bill_types import BillFormat
from paymaster.cli.base import choice, command, group
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.money import BadAmount, format_usd, parse_amount
from paymaster.cli.output import Output, note
from paymaster.cli.reconcile_tables import (
    adjustment_table,
    attempt_table,
    bill_table,
    day_table,
    part_table,
)

_COUNT_DEFAULT = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_Item = TypeVar("_Item")


def _parse_day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is not a day; write 2026-11-21.")


def _parse_usd(text: str) -> int:
    try:
        return parse_amount(text, "USD")
    except BadAmount as error:
        raise click.BadParameter(str(error)) from None


_provider_option = click.option(
    "--provider", default="", metavar="NAME", help="Only this provider's."
)
_model_option = click.option("--model", default="", metavar="NAME", help="Only this model's.")
_since_option = click.option(
    "--since", type=_parse_day, metavar="DAY", help="From this day of UTC; 31 days if not given."
)
_until_option = click.option(
    "--until", type=_parse_day, metavar="DAY", help="Up to this day, which is among them; today."
)
_count_option = click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)


@group
def reconcile() -> None:
    """Compare providers' bills with the books, and correct them."""


@command(reconcile, "import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--provider", required=True, metavar="NAME", help="Whose bill it is: openai, fal, ….")
@click.option(
    "--format",
    "form",
    type=choice(BillFormat),
    help="The form of the file; by the provider's name if not given.",
)
@click.option(
    "--source", default="", metavar="NAME", help="Which account at the provider, if there are more."
)
@click.option("--since", type=_parse_day, metavar="DAY", help="The first day that it covers.")
@click.option("--until", type=_parse_day, metavar="DAY", help="The last day that it covers.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record of changes.")
async def import_bill(
    *,
    output: Output,
    data_dir: Path | None,
    path: Path,
    provider: str,
    form: BillFormat | None,
    source: str,
    since: date | None,
    until: date | None,
    reason: str,
) -> None:
    """Import what a provider has billed: its export as CSV, all of it or nothing.

    The same content is imported once. A later bill takes the place of an earlier one for the days
    that it covers: those from its first line to its last, or from --since to --until.
    """
    async with connected(data_dir) as connection:
        try:
            made = await connection.bills.import_bill(
                path,
                provider,
                form=form,
                source=source,
                start_day=since,
                end_day=until,
                reason=reason,
            )
        except OSError as error:
            raise CommandFailed(
                f"{path} can't be read: {error.strerror}.", ExitCode.USAGE
            ) from error
    output.show(document_of(made), bill_table([made.bill]))
    if output.for_people and made.replayed:
        note("The content was imported before.")


@command(reconcile, "bills")
@_provider_option
@_count_option
async def list_bills(*, output: Output, data_dir: Path | None, provider: str, count: int) -> None:
    """List the bills, the latest first."""
    async with connected(data_dir) as connection:
        listed = connection.bills.list_bills(provider=provider, page_size=min(count, 500))
        found = await _first(listed, count)
    output.show({"bills": document_of(found)}, bill_table(found))


@command(reconcile, "withdraw")
@click.argument("bill_id", metavar="BILL")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the record of changes.")
async def withdraw(*, output: Output, data_dir: Path | None, bill_id: str, reason: str) -> None:
    """Take a bill out that should not have been imported; those before it count again."""
    async with connected(data_dir) as connection:
        bill = await connection.bills.withdraw_bill(bill_id, reason=reason)
    output.show({"bill": document_of(bill)}, bill_table([bill]))


@command(reconcile, "list")
@_provider_option
@_model_option
@_since_option
@_until_option
@click.option("--differences", is_flag=True, help="Only where billed and booked differ.")
@click.option(
    "--at-least",
    type=_parse_usd,
    default="0",
    metavar="USD",
    help="Only where they differ by so much, such as 0.01.",
)
@_count_option
async def list_days(
    *,
    output: Output,
    data_dir: Path | None,
    provider: str,
    model: str,
    since: date | None,
    until: date | None,
    differences: bool,
    at_least: int,
    count: int,
) -> None:
    """Show what was billed beside what is booked, by day, provider and model.

    What a bill has beyond the calls of known cost belongs first to those that are presumed spent.
    """
    async with connected(data_dir) as connection:
        listed = connection.bills.list_days(
            start_day=since,
            end_day=until,
            provider=provider,
            model=model,
            difference_min=at_least or int(differences),
            page_size=min(count, 500),
        )
        found = await _first(listed, count)
    output.show({"days": document_of(found)}, day_table(found))


@command(reconcile, "presumed")
@_provider_option
@_model_option
@_since_option
@_until_option
@_count_option
async def list_presumed(
    *,
    output: Output,
    data_dir: Path | None,
    provider: str,
    model: str,
    since: date | None,
    until: date | None,
    count: int,
) -> None:
    """List attempts that were presumed spent, with what the bill has for each."""
    async with connected(data_dir) as connection:
        listed = connection.bills.list_presumed(
            start_day=since,
            end_day=until,
            provider=provider,
            model=model,
            page_size=min(count, 500),
        )
        found = await _first(listed, count)
    output.show({"attempts": document_of(found)}, attempt_table(found))


@command(reconcile, "adjust")
@click.argument("day", type=_parse_day)
@click.argument("provider")
@click.argument("model")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the ledger.")
@click.option(
    "--account",
    default="",
    metavar="ID",
    help="Whose books take what is of no single attempt; else the tenants' by what they booked.",
)
@click.option(
    "--keep-charges",
    is_flag=True,
    help="Leave what accounts were charged for attempts that were not billed.",
)
@click.option("--key", default=None, metavar="KEY", help="The idempotency key; new if not given.")
async def adjust(
    *,
    output: Output,
    data_dir: Path | None,
    day: date,
    provider: str,
    model: str,
    reason: str,
    account: str,
    keep_charges: bool,
    key: str | None,
) -> None:
    """Make the books' cost of a day what was billed; nobody is charged for it.

    Who was charged for an attempt that was not billed gets that back.
    """
    async with connected(data_dir) as connection:
        made = await connection.bills.adjust_day(
            day,
            provider,
            model,
            reason=reason,
            account=account,
            keep_charges=keep_charges,
            idempotency_key=key,
        )
    output.show({"adjustment": document_of(made)}, adjustment_table([made]), part_table(made))
    if output.for_people:
        note(f"{format_usd(made.amount)} of cost, {format_usd(made.refunded)} refunded.")


@command(reconcile, "adjustments")
@_provider_option
@_count_option
async def list_adjustments(
    *, output: Output, data_dir: Path | None, provider: str, count: int
) -> None:
    """List what was adjusted, the latest first."""
    async with connected(data_dir) as connection:
        listed = connection.bills.list_adjustments(provider=provider, page_size=min(count, 500))
        found = await _first(listed, count)
    output.show({"adjustments": document_of(found)}, adjustment_table(found))


async def _first(listed: AsyncIterator[_Item], count: int) -> list[_Item]:
    found: list[_Item] = []
    async for item in listed:
        found.append(item)
        if len(found) == count:
            break
    return found
