"""Reserve: hold the first option that fits on every budget of the account and of those above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from authority.domain.budgets import BudgetWindow, WindowRef
from authority.domain.errors import ReserveDenied, Unavailable
from authority.domain.ids import tenant_of
from authority.domain.money import Option
from authority.domain.operations import Denied, Kind, Operation
from authority.domain.policies import Terms
from authority.domain.ports import Decision, Keyed, ReserveCommand, Verdict
from authority.domain.reservations import ReserveMode
from authority.usecases.context import Context
from authority.usecases.decide import Answer, canonical, decide, new_id, renew_policy
from authority.usecases.expire import BrokenReservation, expire
from authority.usecases.leases import needs_of
from authority.usecases.locate import Locator

# Expired reservations are reclaimed before a denial, 16 at a time; after that the sweeper's turn.
_RECLAIMS_MAX = 4
_CHECK_ROUNDS_MAX = 12


class ReserveRequest(NamedTuple):
    """A valid request. `ttl_ms` is in milliseconds; `durable` is false for durability HOT."""

    idempotency_key: str
    account: str
    options: Sequence[Option]
    ttl_ms: int
    labels: Mapping[str, str]
    mode: ReserveMode = ReserveMode.NORMAL
    durable: bool = True


class _Reserve:
    """One Reserve on its way; each round works with the policy and the windows of the moment."""

    def __init__(self, context: Context, locator: Locator, request: ReserveRequest) -> None:
        self._context = context
        self._locator = locator
        self._request = request
        self._tenant = tenant_of(request.account)
        self._reservation_id = f"{self._tenant}/{new_id()}"
        self._units = frozenset(leg.unit for option in request.options for leg in option.legs)
        self._reclaims_left = _RECLAIMS_MAX
        self._terms: Terms | None = None
        self._refused: set[WindowRef] = set()

    async def call(self, keyed: Keyed) -> Decision:
        request = self._request
        policy = await self._context.policies.of(request.account)
        terms = policy.terms(request.account, self._units, self._context.clock.now_ms())
        self._terms = terms
        command = ReserveCommand(
            terms=terms,
            reservation_id=self._reservation_id,
            options=request.options,
            refusals=[terms.refusal_of(option) for option in request.options],
            ttl_ms=request.ttl_ms,
            labels=request.labels,
            mode=request.mode,
            may_reclaim=self._reclaims_left > 0,
            refused=self._refused,
        )
        return await self._context.hot.reserve(keyed, command)

    async def put_right(self, decision: Decision) -> None:
        context = self._context
        match decision.verdict:
            case Verdict.STALE_POLICY:
                await renew_policy(context, self._tenant, decision)
            case Verdict.MOVED:
                context.clock.observe(int(decision.detail[0]))
            case Verdict.MISSING:
                assert self._terms is not None
                terms = self._terms
                await context.loads.load(self._tenant, terms.refs, decision.epoch, terms.leased)
            case Verdict.LEASE:
                self._refused |= await context.leases.grow(
                    self._tenant,
                    needs_of(decision),
                    partial=self._request.mode is ReserveMode.BEST_EFFORT,
                )
            case Verdict.RECLAIM:
                self._reclaims_left -= 1
                for reservation_id in decision.detail:
                    with suppress(BrokenReservation):
                        await expire(context, self._locator, reservation_id)
            case _:
                raise AssertionError(decision)


async def reserve(context: Context, locator: Locator, request: ReserveRequest) -> Answer:
    """Hold an amount; for CHECK_ONLY, say what would be held.

    Raises:
        NotFound: there is no such account.
        IdempotencyKeyReused: the key was used for another request.
        ReserveDenied: the budget does not allow it.
        Unavailable: a store is away; the outcome may be unknown.

    """
    attempt = _Reserve(context, locator, request)
    fields = {
        "kind": Kind.RESERVE,
        "key": request.idempotency_key,
        "account": request.account,
        "options": request.options,
        "ttl_ms": request.ttl_ms,
        "labels": request.labels,
    }
    if request.mode is not ReserveMode.NORMAL:
        fields["mode"] = request.mode
    tenant = tenant_of(request.account)
    # An unknown account is told before anything of its tenant is opened.
    await context.policies.of(request.account)
    try:
        if request.mode is ReserveMode.CHECK_ONLY:
            return await _check(context, tenant, canonical(fields), attempt)
        answer = await decide(
            context, tenant, fields, attempt.call, attempt.put_right, durable=request.durable
        )
    except ReserveDenied as denial:
        await describe(context, denial)
        raise
    held = answer.operation.reservation
    assert held is not None
    locator.learn(held)
    return answer


async def _check(context: Context, tenant: str, text: str, attempt: _Reserve) -> Answer:
    keyed = Keyed(tenant, "", text, new_id(), checked=True)
    for _ in range(_CHECK_ROUNDS_MAX):
        decision = await attempt.call(keyed)
        if decision.verdict is Verdict.NOT_LOADED:
            await context.open_tenant(tenant)
        elif decision.verdict is Verdict.CHECKED:
            operation = decision.operation
            assert isinstance(operation, Operation)
            if operation.denied is not None:
                raise ReserveDenied(operation, replayed=False)
            return Answer(operation, replayed=False)
        else:
            await attempt.put_right(decision)
    raise Unavailable("The hot state keeps changing; try again.")


async def describe(context: Context, denial: ReserveDenied) -> None:
    """Add to a denial which budgets, in which windows, were in the way."""
    denial.windows = await limiting_windows(context, denial.operation.account, denial.denied)
    denial.now_ms = context.clock.now_ms()


async def limiting_windows(
    context: Context, account: str, denied: Denied
) -> Mapping[WindowRef, BudgetWindow]:
    """Return which budgets, in which windows, were in the way."""
    refs = [row.ref for row in denied.limiting]
    policy = await context.policies.of(account)
    if any(ref.budget_key not in policy.known_budgets for ref in refs):
        # A replay may be of a denial that another process gave by a budget made since.
        context.policies.forget(tenant_of(account))
        policy = await context.policies.of(account)
    budgets = policy.known_budgets
    return {ref: policy.window_of(budgets[ref.budget_key], ref.start_ms) for ref in refs}
