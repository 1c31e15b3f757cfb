"""Accounts and budgets: who may spend how much over which window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from authority.domain.alerts import DEFAULT_THRESHOLDS
from authority.domain.ids import PLATFORM
from authority.domain.money import UNITS, Unit
from authority.domain.windows import Window, WindowSpan

BUDGETS_PER_ACCOUNT_MAX = 16
# In place of a limit: what the tenant has leased of the platform's budget; and of one that denies
# nothing here, as a soft cap spares what is under way.
LEASED = -1
LEASED_SOFTLY = -2
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
    per_request_limits: Mapping[Unit, int] = field(default_factory=dict)
    reserves_per_minute: int = 0  # 0 for no limit
    plan: str = ""  # '' for none
    end_ms: int = 0  # from when on it is closed; 0 for none
    freeze_end_ms: int = 0  # until when it is frozen; 0 for no such time
    submissions_per_minute: int = 0  # 0 for the plan's number


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
    alert_thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS  # percents, each once, in order

    @property
    def is_of_platform(self) -> bool:
        """Say whether it is the platform's; then `key` is that of the tenant's own count of it."""
        return self.account == PLATFORM

    @property
    def is_leased(self) -> bool:
        """Say whether a tenant may use only what is leased to it of the platform's budget."""
        return self.is_of_platform and self.enforcement is not Enforcement.NOTIFY


class BudgetWindow(NamedTuple):
    """A budget in one of its windows."""

    budget: Budget
    span: WindowSpan

    @property
    def is_leased(self) -> bool:
        """Say whether its limit is a lease."""
        return self.budget.is_leased

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

    @staticmethod
    @lru_cache(maxsize=100_000)
    def parse(text: str) -> WindowRef:
        """Read what `str` wrote."""
        key, start, unit = text.split(":")
        return WindowRef(int(key), int(start), UNITS[unit])
