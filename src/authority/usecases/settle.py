"""Commit, Release, Refund and Extend: what happens to a reservation after it was made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from authority.domain.budgets import LEASED, LEASED_SOFTLY, Enforcement, OveragePolicy, WindowRef
from authority.domain.errors import (
    AlreadyCommitted,
    InvalidRequest,
    RefundExceedsCharge,
    ReservationStateError,
    ReserveDenied,
)
from authority.domain.ids import tenant_of
from authority.domain.money import Leg
from authority.domain.operations import Kind
from authority.domain.policies import TenantPolicy
from authority.domain.ports import (
    CommitCommand,
    Decision,
    ExtendCommand,
    HeldOn,
    Keyed,
    RefundCommand,
    Restore,
    Verdict,
)
from authority.domain.reservations import ReservationState
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide, new_id, renew_policy
from authority.usecases.leases import needs_of
from authority.usecases.locate import Located, Locator
from authority.usecases.reserve import describe

_Call = Callable[[Keyed, Located], Awaitable[Decision]]


class CommitRequest(NamedTuple):
    """A valid request."""

    idempotency_key: str
    reservation_id: str
    actual: Sequence[Leg]
    final: bool
    force: bool
    receipt: str


async def commit_reservation(context: Context, locator: Locator, request: CommitRequest) -> Answer:
    """Settle a reservation with its actual cost, or a part of it.

    Raises:
        NotFound: there is no such reservation.
        IdempotencyKeyReused: the key was used for another request.
        ReservationStateError: it was released.
        AlreadyCommitted: it was committed under another key.
        Unavailable: a store is away; the outcome may be unknown.

    """

    refused: set[WindowRef] = set()

    async def call(keyed: Keyed, located: Located) -> Decision:
        account, held = located
        policy = await context.policies.of(account)
        overage = policy.accounts[account].overage_policy
        units = frozenset(leg.unit for leg in request.actual)
        in_debt = overage is OveragePolicy.DEBT
        command = CommitCommand(
            held=held,
            limits=_limits(policy, held.windows, in_debt=in_debt),
            thresholds=[policy.thresholds.get(ref.budget_key) for ref in held.windows],
            money=policy.terms(account, units, context.clock.now_ms()).money,
            overage=overage,
            policy_version=policy.version,
            actual=request.actual,
            final=request.final,
            force=request.force,
            receipt=request.receipt,
            refused=refused,
        )
        return await context.hot.commit_reservation(keyed, command)

    fields: dict[str, Any] = {
        "kind": Kind.COMMIT,
        "key": request.idempotency_key,
        "reservation_id": request.reservation_id,
        "actual": request.actual,
    }
    if not request.final:
        fields["final"] = False
    if request.force:
        fields["force"] = True
    if request.receipt:
        fields["receipt"] = request.receipt
    return await _settle(context, locator, fields, call, "committed", refused)


async def release(
    context: Context, locator: Locator, key: str, reservation_id: str, reason: str
) -> Answer:
    """Give an uncommitted reservation back. Raises as `commit_reservation` does."""

    async def call(keyed: Keyed, located: Located) -> Decision:
        return await context.hot.release(keyed, located.held)

    fields = {"kind": Kind.RELEASE, "key": key, "reservation_id": reservation_id, "reason": reason}
    return await _settle(context, locator, fields, call, "released", set())


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
        policy = await context.policies.of(located.account)
        command = RefundCommand(located.held, legs, _restores(policy, located.held))
        return await context.hot.refund(keyed, command)

    fields = {
        "kind": Kind.REFUND,
        "key": key,
        "reservation_id": reservation_id,
        "legs": legs,
        "reason": reason,
    }
    answer = await _settle(context, locator, fields, call, "refunded", set())
    held = answer.operation.reservation
    assert held is not None
    policy = await context.policies.of(held.account)
    known = policy.grant_by_key
    if answer.operation.restored or any(
        receipt.refunded and receipt.ref.budget_key not in known for receipt in held.grants
    ):
        # A grant that was spent has something again, or a new one was made.
        await bind_policy(context, tenant_of(reservation_id))
    return answer


class ExtendRequest(NamedTuple):
    """A valid request. `ttl_ms` is 0 to leave the expiry as it is."""

    idempotency_key: str
    reservation_id: str
    ttl_ms: int
    legs: Sequence[Leg]


async def extend(context: Context, locator: Locator, request: ExtendRequest) -> Answer:
    """Let a reservation live longer, and hold more.

    Raises as `commit_reservation` does; InvalidRequest for a unit that it does not hold, and
    ReserveDenied.
    """

    refused: set[WindowRef] = set()

    async def call(keyed: Keyed, located: Located) -> Decision:
        account, held = located
        policy = await context.policies.of(account)
        units = frozenset(leg.unit for leg in request.legs)
        command = ExtendCommand(
            held=held,
            limits=_limits(policy, held.windows),
            money=policy.terms(account, units, context.clock.now_ms()).money,
            policy_version=policy.version,
            ttl_ms=request.ttl_ms,
            legs=request.legs,
            refused=refused,
        )
        return await context.hot.extend(keyed, command)

    fields = {
        "kind": Kind.EXTEND,
        "key": request.idempotency_key,
        "reservation_id": request.reservation_id,
        "ttl_ms": request.ttl_ms,
        "legs": request.legs,
    }
    try:
        return await _settle(context, locator, fields, call, "extended", refused)
    except ReserveDenied as denial:
        await describe(context, denial)
        raise


async def bind_policy(context: Context, tenant: str) -> None:
    """Make every process read the tenant's policy anew. Raises Unavailable."""
    version = await context.ledger.raise_policy_version(tenant)
    context.policies.forget(tenant)
    await context.hot.raise_policy_version(tenant, version)


async def _settle(
    context: Context,
    locator: Locator,
    fields: Mapping[str, Any],
    call: _Call,
    verb: str,
    refused: set[WindowRef],
) -> Answer:
    reservation_id = str(fields["reservation_id"])
    tenant = tenant_of(reservation_id)
    # Also answers for an unknown tenant, before anything of it is opened.
    await locator.find(context, reservation_id)

    async def call_located(keyed: Keyed) -> Decision:
        return await call(keyed, await locator.find(context, reservation_id))

    async def put_right(decision: Decision) -> None:
        match decision.verdict:
            case Verdict.STALE_POLICY:
                await renew_policy(context, tenant, decision)
            case Verdict.MISSING:
                await _load(context, locator, reservation_id, decision.epoch)
            case Verdict.LEASE:
                # A cost that there is not room for is charged as far as there is.
                partial = verb == "committed"
                needs = needs_of(decision)
                refused.update(await context.leases.grow(tenant, needs, partial=partial))
            case Verdict.MISPLACED:
                locator.forget(reservation_id)
            case _:
                _raise_refusal(reservation_id, decision, verb)

    answer = await decide(context, tenant, fields, call_located, put_right)
    assert answer.operation.reservation is not None
    if not answer.replayed:
        locator.learn_settled(answer.operation.reservation)
    return answer


async def _load(context: Context, locator: Locator, reservation_id: str, epoch: int) -> None:
    """Bring in what the script missed: of the reservation, or of the grants of its account."""
    account, held = await locator.find(context, reservation_id)
    tenant = tenant_of(reservation_id)
    reading = await context.hot.read(tenant, reservation_id, ())
    if reading is None or reading.reservation is None:
        await locator.load(context, reservation_id, epoch)
        return
    policy = await context.policies.of(account)
    money = policy.money(account, policy.prepaid_units(account), context.clock.now_ms())
    refs = (*held.windows, *held.lots, *(lot.ref for lot in money.lots))
    await context.loads.load(tenant, refs, epoch, policy.leased(held.windows))


def _raise_refusal(reservation_id: str, decision: Decision, verb: str) -> NoReturn:
    match decision.verdict, decision.detail:
        case Verdict.STATE, (ReservationState.COMMITTED, commit_key) if verb == "committed":
            raise AlreadyCommitted(reservation_id, commit_key)
        case Verdict.STATE, (state, _):
            raise ReservationStateError(reservation_id, state, verb)
        case Verdict.EXCEEDS, (unit, refundable):
            raise RefundExceedsCharge(unit, int(refundable))
        case Verdict.NOT_HELD, (unit,):
            raise InvalidRequest.of(
                "legs", f"must be in units that the reservation holds, not {unit}"
            )
        case _:
            raise AssertionError(decision)


def _limits(
    policy: TenantPolicy, refs: Sequence[WindowRef], *, in_debt: bool = False
) -> list[int | None]:
    """Return the limits of budgets that block; of an account that may be in debt only leases."""
    return [_limit(policy, ref, in_debt=in_debt) for ref in refs]


def _limit(policy: TenantPolicy, ref: WindowRef, *, in_debt: bool) -> int | None:
    budget = policy.budget_by_key.get(ref.budget_key)
    if budget is None:
        return None
    if budget.is_leased:
        return LEASED if budget.enforcement is Enforcement.BLOCK else LEASED_SOFTLY
    if in_debt or budget.enforcement is not Enforcement.BLOCK:
        return None
    return policy.budget_in(budget, ref.start_ms).limit


def _restores(policy: TenantPolicy, held: HeldOn) -> dict[WindowRef, Restore]:
    """Return how a refund to each lot is restored, should it have expired."""
    grants = policy.grant_by_key
    restores = {}
    for ref in held.lots:
        grant = grants.get(ref.budget_key)
        if grant is None or not grant.refund_grace_ms or grant.void_ms:
            continue
        lot = grant.lot_at(policy.accounts[grant.account].time_zone, ref.start_ms)
        if lot.expire_ms:
            restores[ref] = Restore(lot.expire_ms, grant.refund_grace_ms, new_id())
    return restores
