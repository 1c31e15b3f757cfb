"""Accounts and budgets: made and changed in the ledger, binding from the next Reserve on.

A change raises the version of the tenant's policy in the ledger, then in the hot store; it is
answered only after both. If this process dies in between, the sweeper raises the second
(recovery/sweep.py).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from authority.domain.budgets import (
    ACCOUNT_DEPTH_MAX,
    BUDGETS_PER_ACCOUNT_MAX,
    Account,
    AccountState,
    Budget,
    Enforcement,
    OveragePolicy,
)
from authority.domain.errors import InvalidRequest, NotFound
from authority.domain.ids import PLATFORM, tenant_of
from authority.usecases.context import Context


async def create_account(context: Context, account: Account) -> Account:
    """Make an account. Raises NotFound (the parent), AlreadyExists, InvalidRequest, Unavailable."""
    if account.parent != PLATFORM:
        policy = await context.policies.of(account.parent)
        if sum(1 for _ in policy.chain(account.parent)) >= ACCOUNT_DEPTH_MAX:
            raise InvalidRequest.of(
                "account.parent", f"accounts may be at most {ACCOUNT_DEPTH_MAX} levels deep"
            )
    account = replace(account, create_time=_now(context))
    version = await context.ledger.insert_account(account)
    await _bind(context, account.account, version)
    return account


async def update_account(
    context: Context,
    account: str,
    *,
    display_name: str | None,
    state: AccountState | None,
    overage_policy: OveragePolicy | None,
) -> Account:
    """Change what is not None. Raises NotFound, InvalidRequest, Unavailable."""
    await context.policies.account(account)
    changed = await context.ledger.update_account(
        account, display_name=display_name, state=state, overage_policy=overage_policy
    )
    if changed is None:
        raise InvalidRequest.of("account.state", "a closed account stays closed; make a new one")
    after, version = changed
    await _bind(context, account, version)
    return after


async def create_budget(context: Context, budget: Budget) -> Budget:
    """Make a budget. Raises NotFound (the account), AlreadyExists, InvalidRequest, Unavailable."""
    context.policies.forget(tenant_of(budget.account))
    policy = await context.policies.of(budget.account)
    if len(policy.budgets.get(budget.account, ())) >= BUDGETS_PER_ACCOUNT_MAX:
        raise InvalidRequest.of(
            "budget.account", f"an account may have at most {BUDGETS_PER_ACCOUNT_MAX} budgets"
        )
    now = _now(context)
    added, version = await context.ledger.insert_budget(
        replace(budget, create_time=now, update_time=now)
    )
    await _bind(context, budget.account, version)
    return added


async def update_budget(
    context: Context,
    account: str,
    budget: str,
    *,
    limit: int | None,
    enforcement: Enforcement | None,
) -> Budget:
    """Change what is not None. Raises NotFound and Unavailable."""
    changed = await context.ledger.update_budget(
        account,
        budget,
        limit=limit,
        enforcement=enforcement,
        update_time=_now(context),
    )
    if changed is None:
        raise _no_budget(account, budget)
    after, version = changed
    await _bind(context, account, version)
    return after


async def get_budget(context: Context, account: str, budget: str) -> Budget:
    """Return a budget. Raises NotFound and Unavailable."""
    policy = await context.policies.of(account)
    for found in policy.budgets.get(account, ()):
        if found.budget == budget:
            return found
    raise _no_budget(account, budget)


def _no_budget(account: str, budget: str) -> NotFound:
    return NotFound("budget", f"{account} {budget}")


async def _bind(context: Context, account: str, version: int) -> None:
    tenant = tenant_of(account)
    context.policies.forget(tenant)
    if not await context.hot.raise_policy_version(tenant, version):
        # Opening takes over the version in the ledger; but others may have it open already.
        await context.open_tenant(tenant)
        await context.hot.raise_policy_version(tenant, version)


def _now(context: Context) -> datetime:
    return datetime.fromtimestamp(context.clock.now_ms() / 1000, UTC)
