"""What callers see of prices in credits, and of what an account has to pay with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.amounts import Unit
from clients.generation_types import Kind
from clients.types import BudgetBalance, Window


@dataclass(frozen=True, slots=True)
class CreditPrice:
    """The price of an image, a chat's message or a second of video, in micros of a credit."""

    kind: Kind
    tier: str
    credits: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """All prices. A kind and tier that is not there is not for sale in credits."""

    version: int
    prices: tuple[CreditPrice, ...]
    reason: str
    create_time: datetime | None

    def price(self, kind: Kind, tier: str) -> int | None:
        """Return the price in micros of a credit; None for what is not for sale."""
        found = (row.credits for row in self.prices if (row.kind, row.tier) == (kind, tier))
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of an amount that is granted anew in every period."""

    grant_id: str
    unit: Unit
    recurrence: Window
    amount: int
    available: int
    reserved: int
    reset_time: datetime | None


@dataclass(frozen=True, slots=True)
class CreditStatus:
    """What an account has to pay with.

    `tier` is the best that its plans allow, '' for any. An account without `prepaid_units` pays
    with nothing, and is limited by budgets alone. `free_images` are those that nobody has paid for,
    `paid_credits` the part of `credits` that is not granted anew by itself. `month` is the tightest
    monthly budget in USD, None if there is none, and `month_spend` what was charged to it.
    `windows` are all budgets that bind the account.
    """

    account: str
    plan: str
    tier: str
    prepaid_units: tuple[Unit, ...]
    allowances: tuple[Allowance, ...]
    free_images: int
    credits: int
    paid_credits: int
    reserved_credits: int
    month: BudgetBalance | None
    month_spend: int
    windows: tuple[BudgetBalance, ...]
    price_list: PriceList
    read_time: datetime | None
