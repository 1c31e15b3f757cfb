"""Makes hot state anew from the ledger on request, for when it is not to be trusted any more.

A new epoch is started, in which nothing of the hot state is in sight: every tenant is opened and
loaded from the ledger when it is next used, or here, at once. What was decided and is not in the
ledger yet is drained first, as after any restart, so that nothing that was acknowledged is lost.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog

from authority.ledger.store import LedgerStore
from authority.recovery.epoch import Epochs
from authority.recovery.tenants import Tenants

log = structlog.get_logger(__name__)


class Rebuilt(NamedTuple):
    """How many tenants were made anew at once, and the epoch that they serve in."""

    tenants: int
    epoch: int


class Rebuilder:
    """Starts epochs."""

    def __init__(self, epochs: Epochs, tenants: Tenants, ledger: LedgerStore) -> None:
        self._epochs = epochs
        self._tenants = tenants
        self._ledger = ledger

    async def rebuild(self, tenant: str) -> Rebuilt:
        """Start a new epoch and open a tenant in it, or all if it is ''.

        Traffic goes on: a call that was decided just before may be told that its outcome is
        unknown, and finds its answer when it asks again with its key.

        Raises:
            Unavailable: a store is away. What is not open yet is opened at its next use.

        """
        await self._epochs.advance(await self._epochs.ensure())
        epoch = await self._epochs.ensure()
        names = [tenant] if tenant else await self._ledger.opened_tenants()
        for name in names:
            await self._tenants.open(name)
        log.info("hot_state_rebuilt", epoch=epoch, tenants=len(names))
        return Rebuilt(len(names), epoch)
