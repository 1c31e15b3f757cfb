"""Leases of the platform's budgets in the hot store."""

from __future__ import annotations

from collections.abc import Sequence

from authority.domain.budgets import WindowRef
from authority.domain.leases import HotLease, HotVerdict, Lease
from authority.hotstate.scripts import Script
from authority.hotstate.store import HotStore


class HotStoreLeases:
    """Implements `domain.leases.HotLeases`."""

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    async def set_lease(self, tenant: str, ref: WindowRef, amount: int, counted: Lease) -> HotLease:
        """Make a lease `amount` in the name of a version."""
        keys, epoch = self._hot.keys(tenant), self._hot.epoch or 0
        names = [keys.meta, keys.lease(ref), keys.window(ref)]
        arguments = [amount, counted.amount, counted.version]
        verdict, *detail = await self._hot.call(Script.LEASE, names, arguments)
        return HotLease(HotVerdict(verdict), int(detail[0]) if detail else 0, epoch)

    async def read(self, tenant: str, refs: Sequence[WindowRef]) -> dict[WindowRef, Lease]:
        """Return the leases that the hot store has loaded. Raises Unavailable."""
        keys = self._hot.keys(tenant)
        # By a script, which refuses a process that is still in an epoch that is over.
        names = [keys.meta, keys.meta, *(keys.lease(ref) for ref in refs)]
        verdict, *detail = await self._hot.call(Script.READ, names, [self._hot.clock.offset_ms])
        if verdict != HotVerdict.DONE:
            return {}
        values = detail[-1][1:]
        return {
            ref: Lease(*map(int, value.split()))
            for ref, value in zip(refs, values, strict=True)
            if value
        }
