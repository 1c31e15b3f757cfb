"""Generations that failed for good, which operators retry or discard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from authority.domain.generations import Generation

# What one call touches at most; whoever wants more asks again.
DEAD_LETTERS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant: those that fit all that is given; everything if nothing is.

    `account` is an account, or a tenant and with it all accounts of it. `older_than` is how long
    they have been dead at least.
    """

    generation_ids: Sequence[str] | None = None
    kind: str = ""
    error_reason: str = ""
    account: str = ""
    older_than: timedelta | None = None


class DeadLetter(NamedTuple):
    """A generation, and since when it is a dead letter."""

    generation: Generation
    dead_time: datetime


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt as operators see it. Amounts are in micros of USD.

    `error_class` is the name of a class of workers/providers/errors.py, `error_body` what the
    provider said, `request_id` its name for the call. Times that have not come are None.
    """

    attempt: int
    state: str
    provider: str
    model: str
    reservation_id: str
    remote_id: str
    estimate_micros: int | None
    charged_micros: int | None
    presumed_spent: bool
    error_reason: str
    error_message: str
    error_class: str
    error_body: str
    request_id: str
    create_time: datetime
    dispatch_time: datetime | None
    settle_time: datetime | None
    retry_time: datetime | None


class DeadLetterStore(Protocol):
    """Keeps dead letters. Every method raises Unavailable if the store does not answer."""

    async def find(self, chosen: DeadLetterFilter, limit: int) -> list[DeadLetter]:
        """Return dead letters, the oldest first."""
        ...

    async def retry(self, chosen: DeadLetterFilter, limit: int) -> list[Generation]:
        """Make dead letters QUEUED again, their attempts forgiven, the oldest first."""
        ...

    async def discard(self, chosen: DeadLetterFilter, limit: int) -> list[str]:
        """Make dead letters plain failures, the oldest first; return their ids."""
        ...

    async def attempts(self, generation_id: str) -> list[AttemptRecord]:
        """Return the attempts at a generation, in order."""
        ...
