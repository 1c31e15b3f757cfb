"""Plans: made and changed in the ledger, with the budgets of the accounts that have them.

Budgets and limits change in one transaction, which also marks the accounts whose grants are to
follow. Grants are operations, each under a key that the change decides: whoever carries the change
out, however often, grants once. If this process dies before, the sweeper does (recovery/sweep.py).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from authority.domain.callers import Cause
from authority.domain.grants import Grant
from authority.domain.ids import PLATFORM, tenant_of
from authority.domain.plans import SOURCE_PREFIX, Plan, PlanChange, PlanGrant, PlanWork
from authority.usecases.context import Context
from authority.usecases.grants import GrantRequest, make_grant, void_grant

# Grants of more accounts than these are left to the sweeper.
_AT_ONCE_MAX = 50


async def create_plan(context: Context, plan: Plan, cause: Cause) -> Plan:
    """Make a plan. Raises AlreadyExists and Unavailable."""
    made_at = now(context)
    plan = replace(plan, version=1, create_time=made_at, update_time=made_at)
    await context.ledger.insert_plan(plan, cause)
    return plan


async def update_plan(context: Context, name: str, change: PlanChange, cause: Cause) -> Plan:
    """Change a plan, and all accounts that have it.

    Raises NotFound, InvalidRequest, Unavailable.
    """
    after, accounts, versions = await context.ledger.update_plan(name, change, cause, now(context))
    for tenant, version in versions.items():
        await bind(context, tenant, version)
    if change.grants is not None:
        for account in accounts[:_AT_ONCE_MAX]:
            await settle_grants(context, account)
    return after


async def settle_grants(context: Context, account: str) -> None:
    """Make what the account's plan grants, and void what plans that it has left did.

    Raises Unavailable; what is left undone is the sweeper's.
    """
    work = await context.ledger.plan_work(account)
    if not work.pending:
        return
    while True:
        for grant in work.to_void():
            cause = Cause(f"{SOURCE_PREFIX}{work.plan}".strip(), "the plan ended")
            await void_grant(context, f"plan-end/{grant.grant_id}", grant.grant_id, cause)
        for place, terms in work.to_make() if work.pending else ():
            await make_grant(context, _request(account, work, place, terms))
        if await context.ledger.clear_pending(account, work.pending):
            return
        # Another one was quicker, and the plan may have changed since: what was granted too late
        # must not stay.
        work = await context.ledger.plan_work(account)
        if not work.pending and not work.to_void():
            return


def _request(account: str, work: PlanWork, place: int, terms: PlanGrant) -> GrantRequest:
    grant = Grant(
        grant_id="",
        key=0,
        account=account,
        unit=terms.unit,
        amount=terms.amount,
        priority=terms.priority,
        effective_ms=0,
        expire_ms=0,
        recurrence=terms.recurrence,
        refund_grace_ms=0,
        source=work.source,
        create_ms=0,
        void_ms=0,
    )
    key = f"plan/{account}/{work.plan}/{work.pending}/{place}"
    return GrantRequest(key, grant, Cause(work.source, "of the plan"))


async def bind(context: Context, account: str, version: int) -> None:
    """Make a policy version bind the next Reserve of the account's tenant, on every process."""
    tenant = tenant_of(account)
    context.policies.forget(tenant)
    if tenant == PLATFORM:
        await _bind_all(context)
        return
    if not await context.hot.raise_policy_version(tenant, version):
        # Opening takes over the version in the ledger; but others may have it open already.
        await context.open_tenant(tenant)
        await context.hot.raise_policy_version(tenant, version)


async def _bind_all(context: Context) -> None:
    """Make a change of the platform bind in every tenant that is open."""
    for tenant, version in await context.ledger.present_policy_versions():
        context.policies.outdate(tenant, version)
        await context.hot.raise_policy_version(tenant, version)
    await context.leases.reclaim()


def now(context: Context) -> datetime:
    """Return the hot store's time."""
    return datetime.fromtimestamp(context.clock.now_ms() / 1000, UTC)
