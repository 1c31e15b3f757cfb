"""`paymaster reservations`: what is held, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clients.types import Reservation, ReservationState
from paymaster.cli.accounts import account_argument
from paymaster.cli.base import choice, command, group
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import format_amount
from paymaster.cli.output import Column, Output, Table, minor, one_line

_COLUMNS = (
    Column("reservation_id"),
    minor("account"),
    Column("state"),
    Column("reserved"),
    minor("held"),
    Column("charged"),
    minor("refunded"),
    minor("create_time"),
    minor("expire_time"),
)
_COUNT_DEFAULT = 100


@group
def reservations() -> None:
    """List what is held, and what became of it."""


@command(reservations, "list")
@account_argument
@click.option("--state", type=choice(ReservationState), help="Only reservations in this state.")
@click.option("--ascending", is_flag=True, help="The earliest first.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
async def list_reservations(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    state: ReservationState | None,
    ascending: bool,
    count: int,
) -> None:
    """List the reservations of an account and of those below it, the latest first."""
    found: list[Reservation] = []
    async with connected(data_dir) as connection:
        listed = connection.authority.list_reservations(
            account, state=state, descending=not ascending
        )
        async for reservation in listed:
            found.append(reservation)
            if len(found) == count:
                break
    output.show({"reservations": document_of(found)}, _table(found))


def _table(found: Sequence[Reservation]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                item.reservation_id,
                item.account,
                item.state,
                _amounts(item, "reserved"),
                _amounts(item, "held"),
                _amounts(item, "charged"),
                _amounts(item, "refunded"),
                time_text(item.create_time),
                time_text(item.expire_time),
            ]
            for item in found
        ],
    )


def _amounts(reservation: Reservation, number: str) -> str:
    return one_line(
        f"{leg.unit.lower()}={format_amount(getattr(leg, number), leg.unit)}"
        for leg in reservation.legs
    )
