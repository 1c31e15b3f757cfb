"""`paymaster prices`: what users pay in credits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clients.amounts import Unit
from clients.credit_types import CreditPrice, PriceList
from clients.generation_types import Kind
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.output import Column, Output, Table, right

_COLUMNS = (Column("kind"), Column("tier"), right("credits"), Column("for"), right("version"))
_FOR = {Kind.IMAGE: "an image", Kind.CHAT: "a message", Kind.VIDEO: "a second"}


@group
def prices() -> None:
    """Show and set what users pay in credits."""


@command(prices, "show")
@click.option(
    "--version",
    type=click.IntRange(1),
    metavar="N",
    help="A former version; the latest if not given.",
)
async def show(*, output: Output, data_dir: Path | None, version: int | None) -> None:
    """Show the prices in credits."""
    async with connected(data_dir) as connection:
        found = await connection.admin.get_price_list(version or 0)
    output.show({"price_list": document_of(found)}, price_table(found))


@command(prices, "set")
@click.argument("changes", nargs=-1, metavar="KIND-TIER=CREDITS...")
@click.option(
    "--remove",
    "removed",
    multiple=True,
    metavar="KIND-TIER",
    help="Take something off the list, such as video-premium: it is for sale no more.",
)
@reason_option
async def set_prices(
    *,
    output: Output,
    data_dir: Path | None,
    changes: Sequence[str],
    removed: Sequence[str],
    reason: str,
) -> None:
    """Change prices, such as image-premium=2.5; the others stay as they are.

    A video's price is that of a second. If somebody else changes them at the same moment, this
    command fails and nothing is changed.
    """
    if not changes and not removed:
        raise click.UsageError("Nothing to change: give image-premium=2.5 or the like.")
    new = {price[:2]: price[2] for price in map(_price, changes)}
    gone = {_kind_and_tier(text, "--remove") for text in removed}
    if both := new.keys() & gone:
        kind, tier = min(both)
        raise click.UsageError(f"{kind.lower()}-{tier} can't be both set and removed.")
    async with connected(data_dir) as connection:
        before = await connection.admin.get_price_list()
        known = {(price.kind, price.tier): price.credits for price in before.prices}
        if unknown := gone - known.keys():
            kind, tier = min(unknown)
            raise click.UsageError(f"{kind.lower()}-{tier} has no price to remove.")
        wanted = {key: price for key, price in (known | new).items() if key not in gone}
        made = await connection.admin.update_price_list(
            [CreditPrice(*key, price) for key, price in wanted.items()],
            base_version=before.version,
            reason=reason,
        )
    output.show({"price_list": document_of(made)}, price_table(made))


def price_table(found: PriceList) -> Table:
    """Return the prices as a table."""
    return Table(
        _COLUMNS,
        [
            [
                price.kind.lower(),
                price.tier,
                format_amount(price.credits, Unit.CREDITS),
                _FOR.get(price.kind, "-"),
                str(found.version),
            ]
            for price in found.prices
        ],
    )


def _price(text: str) -> tuple[Kind, str, int]:
    name, _, amount = text.partition("=")
    kind, tier = _kind_and_tier(name, "KIND-TIER=CREDITS")
    try:
        return kind, tier, parse_amount(amount, Unit.CREDITS)
    except BadAmount as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="KIND-TIER=CREDITS") from None


def _kind_and_tier(text: str, hint: str) -> tuple[Kind, str]:
    name, _, tier = text.partition("-")
    try:
        return choice(Kind).convert(name, None, None), tier.lower()
    except click.BadParameter as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=hint) from None
