"""The record of changes: who made which account, budget, grant, plan or API key what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from authority.domain.budgets import Account, Budget
from authority.domain.callers import ApiKey, Cause
from authority.domain.grants import Grant
from authority.domain.ids import PLATFORM, tenant_of
from authority.domain.money import Unit
from authority.domain.plans import Plan
from authority.domain.prices import PriceList

Resource = Account | Budget | Grant | ApiKey | Plan | PriceList

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `before` and `after` are documents of the resource, with the proto's field names.

    `account` is '' where the resource belongs to no account, `before` is None for what is new, and
    `change_number` is 0 until the ledger has numbered it.
    """

    tenant: str
    account: str
    method: str
    resource_type: str
    resource: str
    cause: Cause
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    change_time: datetime
    change_number: int = 0


class ChangeFilter(NamedTuple):
    """Which changes to list; '' is for any. Those of API keys are not for everybody to read."""

    tenant: str
    account: str
    with_api_keys: bool


def make_change(
    method: str, cause: Cause, before: Resource | None, after: Resource, change_time: datetime
) -> Change:
    """Return the change that made `after` of `before`, which is None for what is new."""
    tenant, account, resource_type, resource = _identity(after)
    return Change(
        tenant=tenant,
        account=account,
        method=method,
        resource_type=resource_type,
        resource=resource,
        cause=cause,
        before=None if before is None else _document(before),
        after=_document(after),
        change_time=change_time,
    )


def _identity(resource: Resource) -> tuple[str, str, str, str]:
    """Return the tenant, the account, the type and the name of a resource."""
    match resource:
        case Account(account=account):
            return tenant_of(account), account, "account", account
        case Budget(account=account, budget=budget):
            return tenant_of(account), account, "budget", f"{account} {budget}"
        case Grant(account=account, grant_id=grant_id):
            return tenant_of(account), account, "grant", grant_id
        case ApiKey(tenant=tenant, api_key_id=api_key_id):
            return tenant, "", "api_key", api_key_id
        case Plan(plan=plan):
            return PLATFORM, "", "plan", plan
        case PriceList(version=version):
            return PLATFORM, "", "price_list", str(version)


def _document(resource: Resource) -> dict[str, Any]:
    """Return a resource as what JSON can hold. It names every field: none gets in unseen."""
    match resource:
        case Account():
            return _account(resource)
        case Budget():
            return _budget(resource)
        case Grant():
            return _grant(resource)
        case ApiKey():
            return _api_key(resource)
        case Plan():
            return _plan(resource)
        case PriceList():
            return _price_list(resource)


def _account(account: Account) -> dict[str, Any]:
    return {
        "account": account.account,
        "parent": account.parent,
        "display_name": account.display_name,
        "time_zone": account.time_zone,
        "state": account.state,
        "overage_policy": account.overage_policy,
        "create_time": _text(account.create_time),
        "per_request_limits": _limits(account.per_request_limits),
        "reserves_per_minute": account.reserves_per_minute,
        "plan": account.plan,
        "end_time": _moment(account.end_ms),
        "freeze_end_time": _moment(account.freeze_end_ms),
        "submissions_per_minute": account.submissions_per_minute,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "plan": plan.plan,
        "budgets": [budget._asdict() for budget in plan.budgets],
        "grants": [grant._asdict() for grant in plan.grants],
        "per_request_limits": _limits(plan.per_request_limits),
        "reserves_per_minute": plan.reserves_per_minute,
        "tier": plan.tier,
        "submissions_per_minute": plan.submissions_per_minute,
        "abuse": plan.abuse._asdict(),
        "version": plan.version,
        "create_time": _text(plan.create_time),
        "update_time": _text(plan.update_time),
    }


def _price_list(price_list: PriceList) -> dict[str, Any]:
    return {
        "version": price_list.version,
        "prices": [price._asdict() for price in price_list.prices],
        "reason": price_list.cause.reason,
        "create_time": _text(price_list.create_time),
    }


def _limits(limits: Mapping[Unit, int]) -> list[dict[str, Any]]:
    return [{"unit": unit, "amount": limits[unit]} for unit in Unit if unit in limits]


def _budget(budget: Budget) -> dict[str, Any]:
    return {
        "account": budget.account,
        "budget": budget.budget,
        "unit": budget.unit,
        "window": budget.window,
        "limit": budget.limit,
        "enforcement": budget.enforcement,
        "alert_thresholds": list(budget.alert_thresholds),
        "create_time": _text(budget.create_time),
        "update_time": _text(budget.update_time),
    }


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "grant_id": grant.grant_id,
        "account": grant.account,
        "unit": grant.unit,
        "amount": grant.amount,
        "priority": grant.priority,
        "effective_time": _moment(grant.effective_ms),
        "expire_time": _moment(grant.expire_ms),
        "recurrence": grant.recurrence,
        "refund_grace_ms": grant.refund_grace_ms,
        "source": grant.source,
        "create_time": _moment(grant.create_ms),
        "void_time": _moment(grant.void_ms),
        "price": grant.price_micros,
    }


def _api_key(key: ApiKey) -> dict[str, Any]:
    return {
        "api_key_id": key.api_key_id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "display_name": key.display_name,
        "create_time": _text(key.create_time),
        "expire_time": _text(key.expire_time),
        "revoke_time": _text(key.revoke_time),
        "submissions_per_minute": key.submissions_per_minute,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _moment(milliseconds: int) -> str | None:
    """Return a time in Unix milliseconds, of which 0 is none."""
    return _text(_EPOCH + timedelta(milliseconds=milliseconds)) if milliseconds else None
