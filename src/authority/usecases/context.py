"""What every use case works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from authority.domain.budgets import WindowRef
from authority.domain.ports import Clock, HotState, Journal, Ledger, OpenTenant
from authority.usecases.policies import Policies
from authority.usecases.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class Context:
    """The ports, wired by `authority.bootstrap`."""

    hot: HotState
    ledger: Ledger
    journal: Journal
    policies: Policies
    clock: Clock
    open_tenant: OpenTenant
    loads: SingleFlight[tuple[int, *tuple[WindowRef, ...]], None] = field(
        default_factory=SingleFlight
    )

    async def load_windows(self, tenant: str, refs: Sequence[WindowRef], epoch: int) -> None:
        """Bring windows and lots that were missed in an epoch from the ledger into the hot store.

        Many calls miss the same ones at the same moment; one of them loads for all. Raises
        Unavailable.
        """

        async def load() -> None:
            counts = await self.ledger.window_counts(refs)
            await self.hot.load(tenant, None, counts, epoch)

        await self.loads.do((epoch, *refs), load)
