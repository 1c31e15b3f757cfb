"""What was used in the past, as projections and detectors need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from authority.domain.money import Unit


class PastUse(Protocol):
    """Reads the sums of the usage log. Every method raises Unavailable."""

    async def spent(
        self, accounts: Sequence[str], unit: Unit, boundaries_ms: Sequence[int]
    ) -> list[int]:
        """Return what accounts of one tenant spent, less refunds, between each two boundaries.

        A quarter of an hour is of the time that it begins in. Accounts below are not added.

        Args:
            accounts: of one tenant; if its root is among them they are taken to be all of it.
            unit: what is summed. What the cache serves is no spend.
            boundaries_ms: Unix milliseconds in order.

        """
        ...

    async def charged_by_each(
        self, accounts: Sequence[str], spans_ms: Sequence[tuple[int, int]]
    ) -> Mapping[str, list[int]]:
        """Return what each account was charged in USD, less refunds, in each of some spans.

        A tenant is taken with all below it, any other account by itself.
        """
        ...
