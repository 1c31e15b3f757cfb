"""What users pay: prices in credits by kind and tier, and when what was paid becomes revenue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from authority.domain.callers import Cause
from generations.models import Kind, Quality

PRICES_MAX = 16
# So that the largest generation, ten minutes of video, can still be held.
PRICE_CREDITS_MAX = 1_000_000_000_000


class CreditPrice(NamedTuple):
    """What an image, a chat's message or a second of video costs, in micros of a credit."""

    kind: Kind
    tier: Quality
    credits: int


@dataclass(frozen=True, slots=True)
class PriceList:
    """One version of all prices. A kind and tier that is not there is not for sale in credits."""

    version: int
    prices: tuple[CreditPrice, ...]
    cause: Cause
    create_time: datetime


class PriceListStore(Protocol):
    """Keeps the prices. Every method raises Unavailable if the store does not answer."""

    async def price_list(self, version: int) -> PriceList:
        """Return a version of the prices, the latest for 0. Raises NotFound."""
        ...

    async def update_price_list(
        self,
        prices: Iterable[CreditPrice],
        base_version: int,
        cause: Cause,
        change_time: datetime,
    ) -> PriceList:
        """Make other prices the latest version, and record it; return what is the latest then.

        Raises InvalidRequest if a `base_version` other than 0 is the latest no more.
        """
        ...


def earned_micros(price_micros: int, amount: int, used: int) -> int:
    """Return how much of a grant's price is revenue once so much of it is used.

    It is rounded down; what is owed above the grant earns nothing, and all that is used up earns
    the price exactly. The revenue of one operation is what is earned after it less what was before
    it. The ledger has the same rule (migration 0017), by which it is counted.
    """
    return price_micros * min(max(used, 0), amount) // amount
