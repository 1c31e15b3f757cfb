"""Accounts and budgets: made and changed in the ledger, binding from the next Reserve on.

A change raises the version of the tenant's policy in the ledger, then in the hot store; it is
answered only after both. If this process dies in between, the sweeper raises the second
(recovery/sweep.py).
"""

from __future__ import annotations

from dataclasses import replace

from authority.domain.accounts import AccountChange, BudgetChange, check_budget
from authority.domain.budgets import Account, Budget
from authority.domain.callers import Cause
from authority.domain.errors import NotFound
from authority.usecases.context import Context
from authority.usecases.plans import bind, now, settle_grants


async def create_account(context: Context, account: Account, cause: Cause) -> Account:
    """Make an account. Raises NotFound (the parent), AlreadyExists, InvalidRequest, Unavailable."""
    account = replace(account, create_time=now(context))
    version = await context.ledger.insert_account(account, cause)
    await bind(context, account.account, version)
    if account.plan:
        await settle_grants(context, account.account)
    return account


async def update_account(
    context: Context, account: str, change: AccountChange, cause: Cause
) -> Account:
    """Change an account, or move it with all below it. Open reservations stay where they are.

    Raises NotFound (the account or the parent), InvalidRequest, Unavailable.
    """
    after, version = await context.ledger.update_account(account, change, cause, now(context))
    await bind(context, account, version)
    if change.plan is not None:
        await settle_grants(context, account)
    return after


async def create_budget(context: Context, budget: Budget, cause: Cause) -> Budget:
    """Make a budget. Raises NotFound (the account), AlreadyExists, InvalidRequest, Unavailable."""
    check_budget(budget)
    made_at = now(context)
    added, version = await context.ledger.insert_budget(
        replace(budget, create_time=made_at, update_time=made_at), cause
    )
    await bind(context, budget.account, version)
    return added


async def update_budget(
    context: Context, account: str, budget: str, change: BudgetChange, cause: Cause
) -> Budget:
    """Change a budget. Raises NotFound, InvalidRequest, Unavailable."""
    after, version = await context.ledger.update_budget(
        account, budget, change, cause, now(context)
    )
    await bind(context, account, version)
    return after


async def set_own_budget(context: Context, account: str, limit: int | None, cause: Cause) -> Budget:
    """Make or change a user's own monthly budget; None is for the default limit.

    Raises NotFound (the account), InvalidRequest (above the plan's), Unavailable.
    """
    budget, version = await context.ledger.set_own_budget(account, limit, cause, now(context))
    await bind(context, account, version)
    return budget


async def get_budget(context: Context, account: str, budget: str) -> Budget:
    """Return a budget. Raises NotFound and Unavailable."""
    policy = await context.policies.of(account)
    for found in policy.budgets.get(account, ()):
        if found.budget == budget:
            return found
    raise NotFound("budget", f"{account} {budget}")
