"""Accounts, budgets, and the policy of a tenant: what a Reserve is checked against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from authority.domain.money import Unit
from authority.domain.windows import Window, WindowSpan, window_at

BUDGETS_PER_ACCOUNT_MAX = 16
ACCOUNT_DEPTH_MAX = 8


class Enforcement(StrEnum):
    """What a budget does when an amount does not fit."""

    BLOCK = "BLOCK"
    DOWNGRADE = "DOWNGRADE"
    NOTIFY = "NOTIFY"


class OveragePolicy(StrEnum):
    """What happens to an actual cost above the held amount."""

    CAP = "CAP"
    AVAILABLE = "AVAILABLE"
    DEBT = "DEBT"


class AccountState(StrEnum):
    """Whether an account may reserve."""

    ACTIVE = "ACTIVE"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Account:
    """A node of the account tree."""

    account: str
    parent: str
    display_name: str
    time_zone: str
    state: AccountState
    overage_policy: OveragePolicy
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on one unit of one account over a window. `key` is the ledger's own number for it."""

    key: int
    account: str
    budget: str
    unit: Unit
    window: Window
    limit: int
    enforcement: Enforcement
    create_time: datetime
    update_time: datetime


class BudgetWindow(NamedTuple):
    """A budget in one of its windows."""

    budget: Budget
    span: WindowSpan

    @property
    def ref(self) -> WindowRef:
        """Return the name under which stores count it."""
        return WindowRef(self.budget.key, self.span.start_ms, self.budget.unit)


class WindowRef(NamedTuple):
    """Names a counted window: a budget's key, the window's start, and the unit that it counts."""

    budget_key: int
    start_ms: int
    unit: Unit

    def __str__(self) -> str:
        """Return the form that scripts and ledger rows use, such as `12:1763683200000:USD`."""
        return f"{self.budget_key}:{self.start_ms}:{self.unit}"

    @classmethod
    def parse(cls, text: str) -> WindowRef:
        """Read what `str` wrote."""
        key, start, unit = text.split(":")
        return cls(int(key), int(start), Unit(unit))


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """A tenant's accounts and budgets as of one version, cached by every authority process."""

    tenant: str
    version: int
    accounts: Mapping[str, Account]
    budgets: Mapping[str, tuple[Budget, ...]]

    def chain(self, account: str) -> Iterator[Account]:
        """Yield the account and those above it within the tenant, from the inside out."""
        at = self.accounts.get(account)
        while at is not None:
            yield at
            at = self.accounts.get(at.parent)

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
        """Return all budgets by the ledger's number for them."""
        return {budget.key: budget for of in self.budgets.values() for budget in of}
