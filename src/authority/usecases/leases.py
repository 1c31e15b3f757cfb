"""Leases of the platform's budgets: asked for when a tenant needs more, taken back when idle.

A tenant's slot decides over its lease alone. What it lacks is asked for here: it is leased in the
ledger from what is free, and where nothing is, from what other tenants have leased and do not use.
So an operation is refused only where the platform's budget has no room for it.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from authority.background import all_cancelled
from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.leases import HotLeases, HotVerdict, Lease, LeaseLedger, Need
from authority.domain.ports import Decision, OpenTenant
from authority.usecases.window_loads import WindowLoads

_ROUNDS_MAX = 6
# So often, and so many tenants at a time, are asked to give back for one that lacks something.
_RECALLS_MAX = 8
_TENANTS_AT_ONCE = 64
_FRESH_SECONDS = 0.1

log = structlog.get_logger(__name__)


class _Recalled(NamedTuple):
    """How much was taken back; whether some could not be asked, or what there is is fresh."""

    freed: int
    is_away: bool
    is_waiting: bool


class _Asking(NamedTuple):
    """Somebody who waits for a lease; the answer is whether it was had."""

    need: Need
    partial: bool
    answer: asyncio.Future[bool]


def needs_of(decision: Decision) -> list[Need]:
    """Return what a script asks for."""
    texts = iter(decision.detail)
    return [
        Need(WindowRef.parse(ref), int(used), int(amount))
        for ref, used, amount in zip(texts, texts, texts, strict=True)
    ]


class Leases:
    """Gets leases for tenants, and takes back what they do not use. Safe in many processes."""

    def __init__(
        self,
        ledger: LeaseLedger,
        hot: HotLeases,
        loads: WindowLoads,
        open_tenant: OpenTenant,
    ) -> None:
        self._ledger = ledger
        self._hot = hot
        self._loads = loads
        self._open_tenant = open_tenant
        self._waiting: dict[WindowRef, list[_Asking]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def grow(
        self, tenant: str, needs: Sequence[Need], *, partial: bool = False
    ) -> set[WindowRef]:
        """Get what is needed; return the windows for which it can't be had now.

        Raises Unavailable.
        """
        return {need.ref for need in needs if not await self._ask(tenant, need, partial=partial)}

    async def foresee(self, tenant: str, need: Need) -> None:
        """Lease what is likely to be needed, from what is free. Raises Unavailable."""
        lease = await self._ledger.grow(need.ref, [need], partial=False)
        if lease is not None:
            await self._hot.set_lease(tenant, need.ref, lease.amount, lease)

    async def shrink(self, tenant: str, ref: WindowRef, amount: int = 0) -> int:
        """Take back what is leased above an amount and not used; return how much it was.

        Raises Unavailable.
        """
        counted = await self._ledger.begin_shrink(ref, amount)
        if counted is None:
            return 0
        for _ in range(_ROUNDS_MAX):
            hot = await self._hot.set_lease(tenant, ref, amount, counted)
            match hot.verdict:
                case HotVerdict.NOT_LOADED:
                    await self._open_tenant(tenant)
                case HotVerdict.MISSING:
                    await self._loads.load(tenant, [ref], hot.epoch)
                case HotVerdict.SUPERSEDED:
                    return 0
                case HotVerdict.DONE:
                    # From here on no slot decides over more; only now may others have the rest.
                    lease = Lease(hot.amount, counted.version)
                    is_counted = await self._ledger.end_shrink(ref, lease, hot.epoch)
                    return counted.amount - hot.amount if is_counted else 0
        raise Unavailable("The hot state keeps changing; try again.")

    async def reclaim(self) -> None:
        """Lower all leases of which more is taken than a lowered limit allows.

        Raises Unavailable; what is left is taken back later.
        """
        for standing in await self._ledger.over_leased():
            await self.shrink(standing.tenant, standing.ref)

    async def stop(self) -> None:
        """End what is under way; whoever waits is told."""
        await all_cancelled(self._tasks)

    async def _ask(self, tenant: str, need: Need, *, partial: bool) -> bool:
        asking = _Asking(need, partial, asyncio.get_running_loop().create_future())
        waiting = self._waiting.get(need.ref)
        if waiting is None:
            self._waiting[need.ref] = [asking]
            task = asyncio.create_task(self._serve(tenant, need.ref))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            waiting.append(asking)
        return await asking.answer

    async def _serve(self, tenant: str, ref: WindowRef) -> None:
        """Get leases of one window as long as anybody waits for any; many are served at once."""
        batch: list[_Asking] = []
        try:
            while batch := self._waiting[ref]:
                self._waiting[ref] = []
                try:
                    lease = await self._lease(tenant, ref, batch)
                except Exception as error:  # noqa: BLE001 - whatever it was, who waits is told
                    _fail(batch, error)
                    continue
                for asking in batch:
                    if not asking.answer.done():
                        asking.answer.set_result(lease.amount >= asking.need.least)
        finally:
            left = batch + self._waiting.pop(ref)
            _fail(left, Unavailable("The authority is being stopped; nothing was decided."))

    async def _lease(self, tenant: str, ref: WindowRef, batch: Sequence[_Asking]) -> Lease:
        """Return the lease as it could be had."""
        needs = [asking.need for asking in batch]
        partial = any(asking.partial for asking in batch)
        lease = await self._ledger.grow(ref, needs, partial=False)
        for _ in range(_RECALLS_MAX):
            if lease is not None:
                break
            recalled = await self._recall(ref, min(need.amount for need in needs))
            if recalled.freed or (partial and not recalled.is_waiting):
                lease = await self._ledger.grow(ref, needs, partial=partial)
            elif recalled.is_away:
                raise Unavailable("What other tenants have leased can't be had back; try again.")
            elif not recalled.is_waiting:
                break
        if lease is None:
            return Lease(0, 0)
        # Should this not arrive, the ledger counts more than the slot has, until it asks again.
        await self._hot.set_lease(tenant, ref, lease.amount, lease)
        return lease

    async def _recall(self, ref: WindowRef, amount: int) -> _Recalled:
        """Take back what others do not use, until it is enough."""
        freed, is_away = 0, False
        idle = await self._ledger.idle(ref, _TENANTS_AT_ONCE)
        for standing in idle:
            if freed >= amount or standing.is_fresh:
                continue
            try:
                freed += await self.shrink(standing.tenant, standing.ref)
            except Unavailable as error:
                is_away = True
                log.warning("lease_not_recalled", tenant=standing.tenant, reason=error.message)
        if freed:
            log.info("leases_recalled", window=str(ref), amount=freed)
        is_waiting = not freed and any(standing.is_fresh for standing in idle)
        if is_waiting:
            # Who got it a moment ago is using it now, or has no use for it.
            await asyncio.sleep(_FRESH_SECONDS)
        return _Recalled(freed, is_away, is_waiting)


def _fail(batch: Sequence[_Asking], error: Exception) -> None:
    for asking in batch:
        if not asking.answer.done():
            mine = copy.copy(error)
            mine.__cause__ = error.__cause__
            asking.answer.set_exception(mine)
