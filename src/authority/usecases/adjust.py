"""Adjust: correct what an account was charged, with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from authority.domain.budgets import BudgetWindow, WindowRef
from authority.domain.errors import InvalidRequest
from authority.domain.ids import tenant_of
from authority.domain.money import Leg
from authority.domain.operations import Kind
from authority.domain.policies import Money
from authority.domain.ports import AdjustCommand, Decision, Keyed, Verdict
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide, renew_policy
from authority.usecases.leases import needs_of


async def adjust(
    context: Context, key: str, account: str, legs: Sequence[Leg], reason: str
) -> Answer:
    """Charge an account more or less than was committed, in the windows of now.

    Raises:
        NotFound: there is no such account.
        IdempotencyKeyReused: the key was used for another request.
        InvalidRequest: a count would pass the largest amount.
        Unavailable: a store is away; the outcome may be unknown.

    """
    tenant = tenant_of(account)
    windows: list[BudgetWindow] = []
    money = Money((), frozenset())
    refused: set[WindowRef] = set()

    async def call(keyed: Keyed) -> Decision:
        nonlocal windows, money
        policy = await context.policies.of(account)
        now_ms = context.clock.now_ms()
        units = frozenset(leg.unit for leg in legs)
        windows = [
            window for window in policy.windows(account, now_ms) if window.budget.unit in units
        ]
        money = policy.money(account, units, now_ms)
        thresholds = [policy.thresholds.get(window.budget.key) for window in windows]
        command = AdjustCommand(windows, thresholds, money, policy.version, legs, refused)
        return await context.hot.adjust(keyed, command)

    async def put_right(decision: Decision) -> None:
        match decision.verdict:
            case Verdict.STALE_POLICY:
                await renew_policy(context, tenant, decision)
            case Verdict.MOVED:
                context.clock.observe(int(decision.detail[0]))
            case Verdict.MISSING:
                refs = [window.ref for window in windows] + [lot.ref for lot in money.lots]
                leased = [window.ref for window in windows if window.is_leased]
                await context.loads.load(tenant, refs, decision.epoch, leased)
            case Verdict.LEASE:
                refused.update(await context.leases.grow(tenant, needs_of(decision), partial=True))
            case Verdict.EXCEEDS:
                unit, most = decision.detail
                raise InvalidRequest.of("legs", f"at most {most} {unit} can still be counted")
            case _:
                raise AssertionError(decision)

    # An unknown account is told before anything of its tenant is opened.
    await context.policies.of(account)
    fields = {
        "kind": Kind.ADJUST,
        "key": key,
        "account": account,
        "legs": legs,
        "reason": reason,
    }
    return await decide(context, tenant, fields, call, put_right)
