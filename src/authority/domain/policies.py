"""The policy of a tenant: what a Reserve is checked against, as of one version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from authority.domain.budgets import Account, Budget, BudgetWindow
from authority.domain.grants import Grant, Lot
from authority.domain.money import Unit
from authority.domain.plans import Plan
from authority.domain.windows import window_at


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """A tenant's accounts, budgets and grants, cached by every authority process.

    `grants` are by account and leave out what was spent or has expired long ago; `prepaid` has the
    units in which an account was ever granted anything. `ended` are budgets that plans have left
    behind: they bind nobody, but reservations and denials may name them. `plans` are those that
    the accounts have.
    """

    tenant: str
    version: int
    accounts: Mapping[str, Account]
    budgets: Mapping[str, tuple[Budget, ...]]
    grants: Mapping[str, tuple[Grant, ...]]
    prepaid: Mapping[str, frozenset[Unit]]
    ended: tuple[Budget, ...] = ()
    plans: Mapping[str, Plan] = field(default_factory=dict)

    def chain(self, account: str) -> Iterator[Account]:
        """Yield the account and those above it within the tenant, from the inside out."""
        at = self.accounts.get(account)
        while at is not None:
            yield at
            at = self.accounts.get(at.parent)

    def below(self, account: str) -> list[str]:
        """Return the ids of the account and of all below it."""
        return [
            name
            for name in self.accounts
            if any(node.account == account for node in self.chain(name))
        ]

    def windows(self, account: str, now_ms: int) -> list[BudgetWindow]:
        """Return every budget that binds `account` in its window of now, from the inside out."""
        return [
            self.window_of(budget, now_ms)
            for node in self.chain(account)
            for budget in self.budgets.get(node.account, ())
        ]

    def window_of(self, budget: Budget, moment_ms: int) -> BudgetWindow:
        """Return the window of a budget that was or is in force at a moment."""
        time_zone = self.accounts[budget.account].time_zone
        return BudgetWindow(budget, window_at(budget.window, time_zone, moment_ms))

    def budget_by_key(self) -> dict[int, Budget]:
        """Return the budgets that bind by the ledger's number for them."""
        return {budget.key: budget for of in self.budgets.values() for budget in of}

    def known_budgets(self) -> dict[int, Budget]:
        """Return all budgets, also those that have ended, by the ledger's number for them."""
        return self.budget_by_key() | {budget.key: budget for budget in self.ended}

    def per_request_limits(self, account: Account) -> Mapping[Unit, int]:
        """Return an account's limits: its plan's, but for the units that it has its own in."""
        plan = self.plans.get(account.plan)
        return (
            {**plan.per_request_limits, **account.per_request_limits}
            if plan
            else (account.per_request_limits)
        )

    def reserves_per_minute(self, account: Account) -> int:
        """Return an account's own rate or else its plan's; 0 for no limit."""
        plan = self.plans.get(account.plan)
        return account.reserves_per_minute or (plan.reserves_per_minute if plan else 0)

    def prepaid_units(self, account: str) -> frozenset[Unit]:
        """Return the units that must be covered by grants when `account` spends."""
        nothing: frozenset[Unit] = frozenset()
        return nothing.union(*(self.prepaid.get(node.account, ()) for node in self.chain(account)))

    def lots(self, account: str, units: AbstractSet[Unit], now_ms: int) -> list[Lot]:
        """Return what `account` may spend in some units, in the order in which it is spent."""
        lots = [
            grant.lot_at(node.time_zone, now_ms)
            for node in self.chain(account)
            for grant in self.grants.get(node.account, ())
            if grant.unit in units
        ]
        return sorted(lots, key=lambda lot: lot.spending_order)

    def grant_by_key(self) -> dict[int, Grant]:
        """Return the grants by the ledger's number for them."""
        return {grant.key: grant for of in self.grants.values() for grant in of}
