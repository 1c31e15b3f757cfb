"""What every use case works with."""

from __future__ import annotations

from dataclasses import dataclass

from authority.domain.ports import Clock, HotState, Journal, Ledger, OpenTenant
from authority.usecases.policies import Policies


@dataclass(frozen=True, slots=True)
class Context:
    """The ports, wired by `authority.bootstrap`."""

    hot: HotState
    ledger: Ledger
    journal: Journal
    policies: Policies
    clock: Clock
    open_tenant: OpenTenant
