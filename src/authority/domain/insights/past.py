"""Where the past is read from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from authority.domain.insights.facts import PastGeneration


class Span(NamedTuple):
    """A time, [start, end), in Unix milliseconds."""

    start_ms: int
    end_ms: int


class Past(NamedTuple):
    """How many generations have ended of those of a time, and how many are too old to be read.

    `first_id` is the earliest that is read, '' where there is none.
    """

    total: int
    left_out: int
    first_id: str


class PastReader(Protocol):
    """Reads the generations of accounts of one tenant. Every method raises Unavailable."""

    async def open(self, tenant: str, accounts: Sequence[str], span: Span, limit: int) -> Past:
        """Return how much there is of a time, and where the latest `limit` begin."""
        ...

    def pages(
        self, tenant: str, accounts: Sequence[str], span: Span, past: Past
    ) -> AsyncIterator[list[PastGeneration]]:
        """Yield the generations in pages, the earliest first."""
        ...
