"""What every use case works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from authority.domain.budgets import WindowRef
from authority.domain.journal import Journal
from authority.domain.ports import Clock, HotState, Ledger, OpenTenant
from authority.usecases.leases import Leases
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
    leases: Leases
    loads: SingleFlight[tuple[int | WindowRef, ...], None] = field(default_factory=SingleFlight)

    async def load_windows(
        self,
        tenant: str,
        refs: Sequence[WindowRef],
        epoch: int,
        leased: Sequence[WindowRef] = (),
    ) -> None:
        """Bring windows and lots that were missed in an epoch from the ledger into the hot store.

        Those that are `leased` come with their leases. Many calls miss the same ones at the same
        moment; one of them loads for all. Raises Unavailable.
        """
        await self.loads.do(
            (epoch, len(leased), *refs, *leased),
            lambda: self.leases.load(tenant, refs, leased, epoch),
        )
