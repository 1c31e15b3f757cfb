"""Escrow leases: how tenants share a budget of the platform without asking one another.

Each tenant decides, in its own slot, over what is leased to it. Leases are given and taken in the
ledger, under a lock of the budget, so that their sum never passes the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from authority.domain.budgets import WindowRef
from authority.domain.money import AMOUNT_MAX

# What is leased beyond what is needed now: at most this part of the limit, and of what is left.
_PART_OF_LIMIT = 64
_PART_OF_REST = 4


class Lease(NamedTuple):
    """What a tenant may use of one window. A newer `version` goes before an older one."""

    amount: int
    version: int


class Need(NamedTuple):
    """What an operation lacks: `used` is what the tenant uses already, `amount` what is to come."""

    ref: WindowRef
    used: int
    amount: int

    @property
    def least(self) -> int:
        """Return the lease under which it fits."""
        return self.used + self.amount


class Standing(NamedTuple):
    """How a lease stands by the ledger; `used` may lag behind the hot store's.

    One that `is_fresh` was given a moment ago, to somebody who is about to use it.
    """

    tenant: str
    ref: WindowRef
    lease: Lease
    used: int
    is_fresh: bool = False

    @property
    def idle(self) -> int:
        """Return what is leased and not used."""
        return self.lease.amount - max(self.used, 0)


def grown(limit: int, others: int, now: int, needs: Sequence[Need], *, partial: bool) -> int | None:
    """Return what a slot is to have, so that one need at least is met; None if there is too little.

    Args:
        limit: the budget's.
        others: what other tenants have leased of it, or have used.
        now: what is leased to this one.
        needs: what is asked for at this moment.
        partial: whether less than is needed helps too.

    """
    most = limit - others
    if most < min(need.least for need in needs) and not partial:
        return None
    wanted = min(needs[0].used + sum(need.amount for need in needs), AMOUNT_MAX)
    spare = min(limit // _PART_OF_LIMIT, max(most - wanted, 0) // _PART_OF_REST)
    return max(min(wanted + spare, most), min(now, most))


class HotVerdict(StrEnum):
    """What the hot store says of a lease."""

    DONE = "DONE"
    SUPERSEDED = "SUPERSEDED"  # a newer one is there
    MISSING = "MISSING"  # the window is not loaded
    NOT_LOADED = "NOT_LOADED"  # nor is the tenant


class HotLease(NamedTuple):
    """What is to be counted of a lease if it is DONE, and the epoch in which that was said."""

    verdict: HotVerdict
    amount: int
    epoch: int


class LeaseLedger(Protocol):
    """Where leases are given and taken. Every method raises Unavailable."""

    async def leases(self, refs: Collection[WindowRef]) -> dict[WindowRef, Lease]:
        """Return leases as the hot store is to be told; those that were never given are of 0."""
        ...

    async def grow(self, ref: WindowRef, needs: Sequence[Need], *, partial: bool) -> Lease | None:
        """Lease more of a window, in its tenant's name; None if there is too little."""
        ...

    async def begin_shrink(self, ref: WindowRef, amount: int) -> Lease | None:
        """Say that a lease is to be lowered; return it, as it still counts; None if it is low."""
        ...

    async def end_shrink(self, ref: WindowRef, lease: Lease, epoch: int) -> bool:
        """Count a lease as what the hot store has lowered it to; False if that is outdated."""
        ...

    async def idle(self, ref: WindowRef, limit: int) -> list[Standing]:
        """Return what other tenants have leased of the same window and do not use, most first."""
        ...

    async def over_leased(self) -> list[Standing]:
        """Return the leases of windows of which more is taken than a lowered limit allows."""
        ...


class HotLeases(Protocol):
    """What the hot store knows of leases. Raises Unavailable."""

    async def set_lease(self, tenant: str, ref: WindowRef, amount: int, counted: Lease) -> HotLease:
        """Make a lease `amount` in the name of a version.

        Where it is lowered, what is used of it is still to be counted.
        """
        ...
