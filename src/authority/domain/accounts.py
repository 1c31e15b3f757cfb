"""What may be changed of accounts and budgets, and where an account may stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, TypeVar

from authority.domain.budgets import (
    ACCOUNT_DEPTH_MAX,
    Account,
    AccountState,
    Budget,
    Enforcement,
    OveragePolicy,
)
from authority.domain.errors import InvalidRequest, Violation
from authority.domain.money import Unit
from authority.domain.windows import Window

RESERVES_PER_MINUTE_MAX = 1_000_000

_Value = TypeVar("_Value")


class AccountFilter(NamedTuple):
    """Which accounts to list; '' and None are for any."""

    tenant: str = ""
    parent: str = ""
    state: AccountState | None = None


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What to change of an account; None leaves it as it is."""

    parent: str | None = None
    display_name: str | None = None
    state: AccountState | None = None
    overage_policy: OveragePolicy | None = None
    per_request_limits: Mapping[Unit, int] | None = None
    reserves_per_minute: int | None = None
    plan: str | None = None  # '' for none
    end_ms: int | None = None  # 0 for none
    submissions_per_minute: int | None = None

    def apply(self, account: Account, change_time: datetime) -> Account:
        """Return the account as it is to be. Raises InvalidRequest if it is closed for ever."""
        change_ms = change_time.timestamp() * 1000
        if 0 < account.end_ms <= change_ms and self.end_ms not in (None, account.end_ms):
            raise InvalidRequest.of(
                "account.end_time", "the account has ended, for ever; make a new one"
            )
        closed = AccountState.CLOSED
        if account.state is closed and self.state not in (None, closed):
            raise InvalidRequest.of(
                "account.state", "a closed account stays closed; make a new one"
            )
        return Account(
            account=account.account,
            parent=_given(self.parent, account.parent),
            display_name=_given(self.display_name, account.display_name),
            time_zone=account.time_zone,
            state=_given(self.state, account.state),
            overage_policy=_given(self.overage_policy, account.overage_policy),
            create_time=account.create_time,
            per_request_limits=_given(self.per_request_limits, account.per_request_limits),
            reserves_per_minute=_given(self.reserves_per_minute, account.reserves_per_minute),
            plan=_given(self.plan, account.plan),
            end_ms=_given(self.end_ms, account.end_ms),
            # A state that somebody has set is for them to end.
            freeze_end_ms=account.freeze_end_ms if self.state is None else 0,
            submissions_per_minute=_given(
                self.submissions_per_minute, account.submissions_per_minute
            ),
        )


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """What to change of a budget; None leaves it as it is."""

    limit: int | None = None
    enforcement: Enforcement | None = None
    alert_thresholds: tuple[int, ...] | None = None

    def apply(self, budget: Budget, change_time: datetime) -> Budget:
        """Return the budget as it is to be. Raises InvalidRequest."""
        wanted = replace(
            budget,
            limit=_given(self.limit, budget.limit),
            enforcement=_given(self.enforcement, budget.enforcement),
            alert_thresholds=_given(self.alert_thresholds, budget.alert_thresholds),
        )
        check_budget(wanted)
        return budget if wanted == budget else replace(wanted, update_time=change_time)


def _given(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value


def check_budget(budget: Budget) -> None:
    """Raise InvalidRequest for a cap on open reservations that does not count and deny them."""
    if budget.unit is not Unit.RESERVATIONS:
        return
    wrong = []
    if budget.window is not Window.TOTAL:
        wrong.append(
            Violation(
                "budget.window",
                "a budget in UNIT_RESERVATIONS caps how many are open at once, which no window "
                "starts again: it must be WINDOW_TOTAL",
            )
        )
    if budget.enforcement is not Enforcement.BLOCK:
        wrong.append(
            Violation(
                "budget.enforcement",
                "a budget in UNIT_RESERVATIONS caps how many are open at once: it must be "
                "ENFORCEMENT_BLOCK",
            )
        )
    if wrong:
        raise InvalidRequest(wrong)


def check_place(account: str, above: Sequence[str], height: int) -> None:
    """Raise InvalidRequest unless an account may stand below others.

    Args:
        account: the account to be made or moved.
        above: the account right above the place, and all above that within the tenant.
        height: how many levels the account and those below it make.

    """
    if account in above:
        raise InvalidRequest.of(
            "account.parent", "must not be the account itself or one that is below it"
        )
    if len(above) + height > ACCOUNT_DEPTH_MAX:
        raise InvalidRequest.of(
            "account.parent", f"accounts may be at most {ACCOUNT_DEPTH_MAX} levels deep"
        )
