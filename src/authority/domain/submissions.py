"""How often generations may be submitted: rates of accounts and of API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Rate(NamedTuple):
    """How many submissions a minute an account may make, or an API key; the other one is ''."""

    account: str
    api_key_id: str
    per_minute: int

    @property
    def subject(self) -> str:
        """Return what the hot store counts it by: no account's id holds a colon."""
        return self.account or f"key:{self.api_key_id}"


class Bursts(NamedTuple):
    """So many refused submissions of an account, within a time, are too many; 0 for any number."""

    account: str
    most: int
    within_ms: int


class Taken(NamedTuple):
    """What the rates said: how long to wait for each, or nothing where it was let in.

    `is_burst` says that this is the last of too many that were refused.
    """

    waits_ms: Sequence[int] = ()
    is_burst: bool = False


class SubmissionRates(Protocol):
    """Counts submissions by the hot store's clock."""

    async def take(
        self, tenant: str, idempotency_key: str, rates: Sequence[Rate], bursts: Bursts
    ) -> Taken | None:
        """Take one from each rate, all or none; None if this process must enter the epoch first.

        A key that was let in just now is let in again, and not counted. Raises Unavailable.
        """
        ...
