"""Brings what the hot store misses of windows in from the ledger.

After the hot store was lost all accounts miss theirs, each at its first operation. What is missed
at the same moment is read by one query, of whatever tenants, and loaded by one script for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.leases import Lease, LeaseLedger
from authority.domain.ports import HotState, Ledger, WindowCounts
from authority.usecases.gatherer import Gatherer, everything

_ALL_TENANTS = ""
# Each holds a connection of the hot store, once what it loads has been read.
_TENANTS_AT_ONCE = 128


class _Missed(NamedTuple):
    """Windows that were missed in an epoch, and those of them that are leased."""

    refs: Sequence[WindowRef]
    leased: Sequence[WindowRef]
    epoch: int


class _Found(NamedTuple):
    """What the ledger has of these, and of others that were read with them."""

    counts: Mapping[WindowRef, WindowCounts]
    leases: Mapping[WindowRef, Lease]


class WindowLoads:
    """Loads windows and lots."""

    def __init__(self, ledger: Ledger, leases: LeaseLedger, hot: HotState) -> None:
        self._ledger = ledger
        self._leases = leases
        self._hot = hot
        self._reads: Gatherer[_Missed, _Found] = Gatherer(self._read, room=everything)
        self._loads: Gatherer[_Missed, None] = Gatherer(
            self._load, calls_max=_TENANTS_AT_ONCE, room=everything
        )

    async def load(
        self,
        tenant: str,
        refs: Sequence[WindowRef],
        epoch: int,
        leased: Sequence[WindowRef] = (),
    ) -> None:
        """Bring windows and lots that were missed in an epoch into the hot store.

        Those that are `leased` come with their leases. Raises Unavailable.
        """
        await self._loads.answer(tenant, _Missed(refs, leased, epoch))

    async def stop(self) -> None:
        """End what is under way; whoever waits is told."""
        await self._loads.stop()
        await self._reads.stop()

    async def _load(self, tenant: str, items: Sequence[_Missed]) -> list[None]:
        missed = _together(items)
        found = await self._reads.answer(_ALL_TENANTS, missed)
        counts = {ref: found.counts[ref] for ref in missed.refs}
        leases = {ref: found.leases[ref] for ref in missed.leased}
        await self._hot.load(tenant, None, counts, missed.epoch, leases)
        return [None] * len(items)

    async def _read(self, _: str, items: Sequence[_Missed]) -> list[_Found]:
        missed = _together(items)
        counts = await self._ledger.window_counts(missed.refs)
        leases = await self._leases.leases(missed.leased) if missed.leased else {}
        return [_Found(counts, leases)] * len(items)


def _together(items: Sequence[_Missed]) -> _Missed:
    """Return all as one. They are read after the last was missed, and so are fit for its epoch."""
    return _Missed(
        _once(item.refs for item in items),
        _once(item.leased for item in items),
        max(item.epoch for item in items),
    )


def _once(groups: Iterable[Sequence[WindowRef]]) -> list[WindowRef]:
    return list(dict.fromkeys(chain.from_iterable(groups)))
