"""Leases of the platform's budgets in the hot store."""

from __future__ import annotations

from collections.abc import Sequence

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.leases import HotLease, HotVerdict, Lease
from authority.hotstate.scripts import Script
from authority.hotstate.store import AWAY, HotStore


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
        try:
            values = await self._hot.redis.mget([keys.lease(ref) for ref in refs])
        except AWAY as error:
            raise Unavailable(f"The hot store does not answer ({type(error).__name__}).") from error
        return {
            ref: Lease(*map(int, value.split()))
            for ref, value in zip(refs, values, strict=True)
            if value
        }
