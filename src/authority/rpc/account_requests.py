"""Reads requests about accounts and budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from authority.domain.accounts import (
    RESERVES_PER_MINUTE_MAX,
    AccountChange,
    AccountFilter,
    BudgetChange,
)
from authority.domain.budgets import Account, AccountState, Budget, Enforcement, OveragePolicy
from authority.domain.ids import PLATFORM, is_account, tenant_of
from authority.domain.money import Unit
from authority.domain.own_budgets import OWN_BUDGET, OWN_LIMITS
from authority.domain.plans import BUDGET_PREFIX
from authority.domain.windows import Window
from authority.rpc.plan_requests import read_plan_id
from authority.rpc.requests import Reader, enum_name
from authority.rpc.threshold_requests import read_thresholds
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2

_DISPLAY_NAME_LENGTH_MAX = 128
_NOT_YET = datetime.fromtimestamp(0, UTC)
_ACCOUNT_MASK = (
    "display_name",
    "end_time",
    "overage_policy",
    "parent",
    "per_request_limits",
    "plan",
    "reserves_per_minute",
    "state",
    "submissions_per_minute",
)
# All that there is of the root to be changed.
_PLATFORM_MASK = ("display_name", "plan")

_Value = TypeVar("_Value")


def read_account(reader: Reader, message: resources_pb2.Account) -> Account:
    """Read an account to be made."""
    account = reader.account(message.account, "account.account")
    return Account(
        account=account,
        parent=_read_parent(reader, account, message.parent or _parent_by_default(account)),
        display_name=_read_display_name(reader, message),
        time_zone=reader.time_zone("account.time_zone", message.time_zone),
        state=_read_state(reader, message, AccountState.ACTIVE),
        overage_policy=_read_overage(reader, message, OveragePolicy.AVAILABLE),
        create_time=_NOT_YET,
        per_request_limits=_read_limits(reader, message),
        reserves_per_minute=_read_rate(reader, message, "reserves_per_minute"),
        plan=_read_plan(reader, message),
        end_ms=reader.time("account.end_time", message),
        submissions_per_minute=_read_rate(reader, message, "submissions_per_minute"),
    )


def read_account_change(reader: Reader, request: messages.UpdateAccountRequest) -> AccountChange:
    """Read what to change of an account; what the mask does not name is not looked at."""
    wanted = request.account
    mask = reader.mask(
        request.update_mask, _PLATFORM_MASK if wanted.account == PLATFORM else _ACCOUNT_MASK
    )

    def masked(name: str, read: Callable[[], _Value]) -> _Value | None:
        return read() if name in mask else None

    return AccountChange(
        parent=masked("parent", lambda: _read_parent(reader, wanted.account, wanted.parent)),
        display_name=masked("display_name", lambda: _read_display_name(reader, wanted)),
        state=masked("state", lambda: _read_state(reader, wanted, None)),
        overage_policy=masked("overage_policy", lambda: _read_overage(reader, wanted, None)),
        per_request_limits=masked("per_request_limits", lambda: _read_limits(reader, wanted)),
        reserves_per_minute=masked(
            "reserves_per_minute", lambda: _read_rate(reader, wanted, "reserves_per_minute")
        ),
        plan=masked("plan", lambda: _read_plan(reader, wanted)),
        end_ms=masked("end_time", lambda: reader.time("account.end_time", wanted)),
        submissions_per_minute=masked(
            "submissions_per_minute", lambda: _read_rate(reader, wanted, "submissions_per_minute")
        ),
    )


def read_account_filter(reader: Reader, request: messages.ListAccountsRequest) -> AccountFilter:
    """Read which accounts to list."""
    if request.tenant:
        reader.tenant(request.tenant)
    if request.parent and request.parent != PLATFORM:
        reader.account(request.parent, "parent")
    state = None
    if request.state != resources_pb2.ACCOUNT_STATE_UNSPECIFIED:
        name = enum_name(resources_pb2.AccountState, request.state)
        state = reader.word("state", "ACCOUNT_STATE", name, AccountState, None)
    return AccountFilter(request.tenant, request.parent, state)


def read_budget(reader: Reader, message: resources_pb2.Budget) -> Budget:
    """Read a budget to be made."""
    _check_own(reader, message.budget)
    account = reader.account(message.account, "budget.account", or_platform=True)
    unit = read_unit(reader, "budget.unit", message.unit)
    window_name = enum_name(resources_pb2.Window, message.window)
    window = reader.word("budget.window", "WINDOW", window_name, Window, None)
    return Budget(
        key=0,
        account=account,
        budget=reader.budget(message.budget or f"{unit}-{window}".lower(), "budget.budget"),
        unit=unit,
        window=window,
        limit=reader.amount("budget.limit", message.limit, least=0),
        enforcement=_read_enforcement(reader, message, Enforcement.BLOCK),
        create_time=_NOT_YET,
        update_time=_NOT_YET,
        alert_thresholds=read_thresholds(reader, "budget.alert_thresholds", message),
    )


def read_budget_change(reader: Reader, request: messages.UpdateBudgetRequest) -> BudgetChange:
    """Read what to change of a budget; what the mask does not name is not looked at."""
    wanted = request.budget
    _check_own(reader, wanted.budget)
    mask = reader.mask(request.update_mask, ("alert_thresholds", "enforcement", "limit"))
    limit = enforcement = thresholds = None
    if "limit" in mask:
        limit = reader.amount("budget.limit", wanted.limit, least=0)
    if "enforcement" in mask:
        enforcement = _read_enforcement(reader, wanted, None)
    if "alert_thresholds" in mask:
        thresholds = read_thresholds(reader, "budget.alert_thresholds", wanted)
    return BudgetChange(limit, enforcement, thresholds)


def read_own_budget(reader: Reader, request: messages.SetOwnBudgetRequest) -> int | None:
    """Read the limit of a user's own monthly budget; None for the default one."""
    if not request.limit:
        return None
    least, most = OWN_LIMITS
    if not least <= request.limit <= most:
        reader.wrong(
            "limit",
            f"must be from {least} to {most} micros of USD, which are 1 to 1000 USD, or 0 for the "
            f"default, not {request.limit}",
        )
    return request.limit


def _check_own(reader: Reader, budget: str) -> None:
    if budget == OWN_BUDGET:
        reader.wrong(
            "budget.budget",
            f"`{OWN_BUDGET}` is the user's own monthly budget: set it by SetOwnBudget, or make a "
            "budget with another id",
        )
    if budget.startswith(BUDGET_PREFIX):
        reader.wrong(
            "budget.budget",
            f"what begins with `{BUDGET_PREFIX}` is of the account's plan: change the plan, give "
            "the account another one, or make a budget with another id",
        )


def read_unit(reader: Reader, field: str, number: int) -> Unit:
    """Read the unit of a budget, which may be RESERVATIONS too."""
    return reader.word(field, "UNIT", enum_name(resources_pb2.Unit, number), Unit, None)


def _parent_by_default(account: str) -> str:
    tenant = tenant_of(account)
    return PLATFORM if account == tenant else tenant


def _read_parent(reader: Reader, account: str, parent: str) -> str:
    tenant = tenant_of(account)
    if account == tenant:
        if parent != PLATFORM:
            reader.wrong("account.parent", "a tenant's parent is `platform`")
    elif not is_account(parent) or tenant_of(parent) != tenant:
        reader.wrong("account.parent", "must be the account's tenant or an account below that")
    elif parent == account:
        reader.wrong("account.parent", "must be another account")
    return parent


def _read_display_name(reader: Reader, message: resources_pb2.Account) -> str:
    return reader.text("account.display_name", message.display_name, _DISPLAY_NAME_LENGTH_MAX)


def _read_state(
    reader: Reader, message: resources_pb2.Account, default: AccountState | None
) -> AccountState:
    name = enum_name(resources_pb2.AccountState, message.state)
    return reader.word("account.state", "ACCOUNT_STATE", name, AccountState, default)


def _read_overage(
    reader: Reader, message: resources_pb2.Account, default: OveragePolicy | None
) -> OveragePolicy:
    name = enum_name(resources_pb2.OveragePolicy, message.overage_policy)
    return reader.word("account.overage_policy", "OVERAGE_POLICY", name, OveragePolicy, default)


def _read_limits(reader: Reader, message: resources_pb2.Account) -> Mapping[Unit, int]:
    legs = reader.legs("account.per_request_limits", message.per_request_limits, least=1)
    return {leg.unit: leg.amount for leg in legs}


def _read_rate(reader: Reader, message: resources_pb2.Account, name: str) -> int:
    rate: int = getattr(message, name)
    if not 0 <= rate <= RESERVES_PER_MINUTE_MAX:
        reader.wrong(
            f"account.{name}",
            f"must be from 1 to {RESERVES_PER_MINUTE_MAX}, or 0 for no limit of its own, "
            f"not {rate}",
        )
    return rate


def _read_plan(reader: Reader, message: resources_pb2.Account) -> str:
    return message.plan and read_plan_id(reader, message.plan, "account.plan")


def _read_enforcement(
    reader: Reader, message: resources_pb2.Budget, default: Enforcement | None
) -> Enforcement:
    name = enum_name(resources_pb2.Enforcement, message.enforcement)
    return reader.word("budget.enforcement", "ENFORCEMENT", name, Enforcement, default)
