"""The accounts that a new dev stack comes with."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from clients import AdminClient
from clients.amounts import Unit
from clients.errors import AlreadyExists
from clients.types import Window


class Sample(NamedTuple):
    """An account to try things with, and what it may spend, in micros of USD."""

    account: str
    display_name: str
    limits: dict[Window, int]


SAMPLES = (
    Sample("acme", "Acme (ample)", {Window.DAY: 100_000_000, Window.MONTH: 1_000_000_000}),
    Sample("solo", "Solo (small)", {Window.DAY: 500_000}),
)


async def create_samples(admin: AdminClient) -> None:
    """Make the accounts and budgets that are not there. What is there is left as it is."""
    for sample in SAMPLES:
        with suppress(AlreadyExists):
            await admin.create_account(sample.account, display_name=sample.display_name)
        for window, limit in sample.limits.items():
            with suppress(AlreadyExists):
                await admin.create_budget(sample.account, unit=Unit.USD, window=window, limit=limit)
