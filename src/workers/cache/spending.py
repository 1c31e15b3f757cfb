"""Vectors that cost something are spend like any other: held before they are asked for, then paid.

Whoever dies in between leaves a hold that expires: what one vector costs is a millionth of what it
may save, and not worth a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from clients import AuthorityClient
from clients.amounts import Leg, Unit
from clients.errors import BudgetDenied, PaymasterError

_HOLD = timedelta(minutes=5)

log = structlog.get_logger(__name__)


class EmbeddingSpend:
    """Holds and pays what vectors cost. `price` is the most that the vector of a text may cost."""

    def __init__(self, authority: AuthorityClient, price: Callable[[str], int]) -> None:
        self._authority = authority
        self._price = price

    async def hold(self, account: str, generation_id: str, text: str) -> str:
        """Hold the price of a vector; return the reservation, or '' if it is not to be had."""
        try:
            held = await self._authority.reserve(
                account,
                [Leg(Unit.USD, self._price(text))],
                ttl=_HOLD,
                labels={"generation": generation_id, "purpose": "embedding"},
            )
        except BudgetDenied:
            return ""
        except PaymasterError as error:
            log.warning("embedding_not_held", reason=error.reason)
            return ""
        return held.reservation_id

    async def pay(self, reservation_id: str, cost_micros: int) -> None:
        """Pay what a vector has cost."""
        try:
            if cost_micros:
                await self._authority.commit(reservation_id, [Leg(Unit.USD, cost_micros)])
            else:
                await self._authority.release(reservation_id, reason="not embedded")
        except PaymasterError:
            log.exception("embedding_not_paid", reservation_id=reservation_id)
