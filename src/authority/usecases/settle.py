"""Commit, Release and Refund: the three ways to settle a reservation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

from authority.domain.budgets import Enforcement, OveragePolicy, TenantPolicy, WindowRef
from authority.domain.errors import AlreadyCommitted, RefundExceedsCharge, ReservationStateError
from authority.domain.ids import tenant_of
from authority.domain.money import Leg
from authority.domain.operations import Kind
from authority.domain.ports import CommitCommand, Decision, Keyed, Verdict
from authority.domain.reservations import ReservationState
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide, renew_policy
from authority.usecases.locate import Located, Locator

_Call = Callable[[Keyed, Located], Awaitable[Decision]]


async def commit_reservation(
    context: Context, locator: Locator, key: str, reservation_id: str, actual: Sequence[Leg]
) -> Answer:
    """Settle a reservation with its actual cost.

    Raises:
        NotFound: there is no such reservation.
        IdempotencyKeyReused: the key was used for another request.
        ReservationStateError: it was released.
        AlreadyCommitted: it was committed under another key.
        Unavailable: a store is away; the outcome may be unknown.

    """

    async def call(keyed: Keyed, located: Located) -> Decision:
        account, refs = located
        policy = await context.policies.of(account)
        overage = policy.accounts[account].overage_policy
        command = CommitCommand(
            reservation_id, refs, _limits(policy, refs, overage), overage, policy.version, actual
        )
        return await context.hot.commit_reservation(keyed, command)

    fields = {"kind": Kind.COMMIT, "key": key, "reservation_id": reservation_id, "actual": actual}
    return await _settle(context, locator, fields, call, "committed")


async def release(
    context: Context, locator: Locator, key: str, reservation_id: str, reason: str
) -> Answer:
    """Give an uncommitted reservation back. Raises as `commit_reservation` does."""

    async def call(keyed: Keyed, located: Located) -> Decision:
        return await context.hot.release(keyed, reservation_id, located.windows)

    fields = {"kind": Kind.RELEASE, "key": key, "reservation_id": reservation_id, "reason": reason}
    return await _settle(context, locator, fields, call, "released")


async def refund(
    context: Context,
    locator: Locator,
    key: str,
    reservation_id: str,
    legs: Sequence[Leg],
    reason: str,
) -> Answer:
    """Give a charge back; all that is left of it if no leg is named.

    Raises as `commit_reservation` does, and RefundExceedsCharge.
    """

    async def call(keyed: Keyed, located: Located) -> Decision:
        return await context.hot.refund(keyed, reservation_id, located.windows, legs)

    fields = {
        "kind": Kind.REFUND,
        "key": key,
        "reservation_id": reservation_id,
        "legs": legs,
        "reason": reason,
    }
    return await _settle(context, locator, fields, call, "refunded")


async def _settle(
    context: Context, locator: Locator, fields: Mapping[str, Any], call: _Call, verb: str
) -> Answer:
    reservation_id = str(fields["reservation_id"])
    tenant = tenant_of(reservation_id)
    # Also answers for an unknown tenant, before anything of it is opened.
    located = await locator.find(context, reservation_id)

    async def call_located(keyed: Keyed) -> Decision:
        return await call(keyed, located)

    async def put_right(decision: Decision) -> None:
        match decision.verdict:
            case Verdict.STALE_POLICY:
                await renew_policy(context, tenant, decision)
            case Verdict.MISSING:
                await locator.load(context, reservation_id)
            case Verdict.STATE:
                _raise_state(reservation_id, decision, verb)
            case Verdict.EXCEEDS:
                unit, refundable = decision.detail
                raise RefundExceedsCharge(unit, int(refundable))
            case _:
                raise AssertionError(decision)

    return await decide(context, tenant, fields, call_located, put_right)


def _raise_state(reservation_id: str, decision: Decision, verb: str) -> NoReturn:
    state, commit_key = decision.detail
    if state == ReservationState.COMMITTED and verb == "committed":
        raise AlreadyCommitted(reservation_id, commit_key)
    raise ReservationStateError(reservation_id, state, verb)


def _limits(
    policy: TenantPolicy, refs: Sequence[WindowRef], overage: OveragePolicy
) -> list[int | None]:
    """Return what binds a charge above the hold: budgets that block, unless debt is allowed."""
    budgets = policy.budget_by_key()
    blocking = (budgets.get(ref.budget_key) for ref in refs)
    return [
        budget.limit
        if budget is not None
        and budget.enforcement is Enforcement.BLOCK
        and overage is not OveragePolicy.DEBT
        else None
        for budget in blocking
    ]
