"""Leases of the platform's budgets in the hot store."""

from __future__ import annotations

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
