"""What the ledger remembers, read back: entries, reservations, and balances of the past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from authority.domain.budgets import Budget, WindowRef
from authority.domain.entries import Book
from authority.domain.grants import Grant
from authority.domain.money import Unit
from authority.domain.operations import Kind
from authority.domain.ports import WindowCounts
from authority.domain.reservations import Reservation, ReservationState


class CacheUse(NamedTuple):
    """What an operation of the cache is about; amounts are micros of USD.

    `entry_id` is '' for one that joined another, `score_ppm` None where nothing was measured, and
    `saved` below zero in a reversal.
    """

    generation_id: str
    entry_id: str
    stage: str
    score_ppm: int | None
    saved: int


class EntryRow(NamedTuple):
    """A ledger entry with the operation that wrote it. Times are Unix milliseconds.

    `budget` is `account budget`, or empty like `grant_id` where the entry is in no such book.
    """

    operation_id: str
    line: int
    sequence: int
    kind: Kind
    account: str
    reservation_id: str
    book: Book
    budget: str
    grant_id: str
    window_start_ms: int
    unit: Unit
    amount: int
    idempotency_key: str
    decide_ms: int
    cache_use: CacheUse | None  # of the cache's kinds alone


class EntryFilter(NamedTuple):
    """Which entries of some accounts: those of one reservation, if one is named, in a time span."""

    reservation_id: str
    start_ms: int
    end_ms: int


class History(Protocol):
    """Reads the ledger's past. Every method raises Unavailable if it does not answer."""

    async def entries(
        self,
        accounts: Sequence[str],
        wanted: EntryFilter,
        after: tuple[int, int] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[EntryRow]:
        """Return a page of entries of accounts of one tenant, behind a sequence and line."""
        ...

    async def reservations(
        self,
        accounts: Sequence[str],
        state: ReservationState | None,
        after: tuple[int, str] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[Reservation]:
        """Return a page of reservations of accounts, behind a creation in ms and an id."""
        ...

    async def counts_at(
        self, tenant: str, refs: Iterable[WindowRef], moment_ms: int
    ) -> dict[WindowRef, WindowCounts]:
        """Return what windows and lots of a tenant counted at the end of a millisecond."""
        ...

    async def budgets_at(self, budgets: Iterable[Budget], moment_ms: int) -> list[Budget]:
        """Return budgets with the limit and enforcement that they had then."""
        ...

    async def grants_at(self, accounts: Sequence[str], moment_ms: int) -> list[Grant]:
        """Return the grants that accounts had been given by then, as they were then."""
        ...
