"""Audits the leases of the platform's budgets: slots have what was leased to them, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.hotstate.leases import HotStoreLeases
from authority.ledger.leases import LeaseSum, PostgresLeases

# What changes while it is read is read again.
_READINGS_MAX = 5
_AGAIN_SECONDS = 0.2


class LeaseDifference(NamedTuple):
    """What is wrong with a lease, or with the sum of them."""

    subject: str
    field: str
    expected: str
    found: str


class LeaseAudit:
    """Compares leases in the hot store to the ledger's, and their sums to the limits."""

    def __init__(self, ledger: PostgresLeases, hot: HotStoreLeases) -> None:
        self._ledger = ledger
        self._hot = hot

    async def of_tenant(self, tenant: str) -> list[LeaseDifference]:
        """Return where a tenant's slot has more than is leased to it. Raises Unavailable."""
        refs = await self._ledger.leased_windows(tenant)
        differences: list[LeaseDifference] = []
        for _ in range(_READINGS_MAX if refs else 0):
            differences = await self._compare(tenant, refs)
            if not differences:
                break
            await asyncio.sleep(_AGAIN_SECONDS)
        return differences

    async def _compare(self, tenant: str, refs: Sequence[WindowRef]) -> list[LeaseDifference]:
        # A lease is raised in the ledger first and lowered there last, so that one of two readings
        # around the hot store's is no less than that, unless it has moved there and back.
        before = await self._ledger.leases(refs, counted=True)
        found = await self._hot.read(tenant, refs)
        after = await self._ledger.leases(refs, counted=True)
        return [
            LeaseDifference(
                f"lease {ref}", "amount", f"at most {before[ref].amount}", str(lease.amount)
            )
            for ref, lease in found.items()
            if lease.amount > max(before[ref].amount, after[ref].amount)
        ]

    async def of_all(self) -> list[LeaseDifference]:
        """Return the windows of which slots together have more than the limit. Raises Unavailable.

        The ledger may count more, after a limit was lowered below what had been used.
        """
        differences: list[LeaseDifference] = []
        for _ in range(_READINGS_MAX):
            differences = [
                LeaseDifference(
                    f"budget {row.budget} from {row.start_ms}",
                    "leased",
                    f"at most {row.limit}",
                    str(leased),
                )
                for row in await self._ledger.over_limit()
                if (leased := await self._in_slots(row)) > row.limit
            ]
            if not differences:
                break
            await asyncio.sleep(_AGAIN_SECONDS)
        return differences

    async def _in_slots(self, row: LeaseSum) -> int:
        return sum(
            [
                lease.amount
                for tenant, ref in row.refs.items()
                for lease in (await self._hot.read(tenant, [ref])).values()
            ]
        )
