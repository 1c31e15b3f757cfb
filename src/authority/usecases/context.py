"""What every use case works with."""

from __future__ import annotations

from dataclasses import dataclass

from authority.domain.journal import Journal
from authority.domain.ports import Clock, HotState, Ledger, OpenTenant
from authority.usecases.leases import Leases
from authority.usecases.policies import Policies
from authority.usecases.window_loads import WindowLoads


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
    loads: WindowLoads
