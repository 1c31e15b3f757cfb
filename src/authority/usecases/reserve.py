"""Reserve: hold the first option that fits on every budget of the account and of those above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authority.domain.budgets import AccountState, BudgetWindow, TenantPolicy
from authority.domain.errors import ReserveDenied
from authority.domain.ids import tenant_of
from authority.domain.money import MONEY_UNITS, Option, Unit
from authority.domain.operations import DenialReason, Kind
from authority.domain.ports import Decision, Keyed, ReserveCommand, Verdict
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide, new_id, renew_policy
from authority.usecases.expire import expire
from authority.usecases.locate import Locator

# Expired reservations are reclaimed before a denial, 16 at a time; after that the sweeper's turn.
_RECLAIMS_MAX = 4


@dataclass(frozen=True, slots=True)
class ReserveRequest:
    """A valid request. `ttl_ms` is in milliseconds."""

    idempotency_key: str
    account: str
    options: Sequence[Option]
    ttl_ms: int
    labels: Mapping[str, str]


class _Reserve:
    """One Reserve on its way; each round works with the policy and the windows of the moment."""

    def __init__(self, context: Context, locator: Locator, request: ReserveRequest) -> None:
        self._context = context
        self._locator = locator
        self._request = request
        self._tenant = tenant_of(request.account)
        self._reservation_id = f"{self._tenant}/{new_id()}"
        self._reclaims_left = _RECLAIMS_MAX
        self._windows: list[BudgetWindow] = []

    async def call(self, keyed: Keyed) -> Decision:
        request = self._request
        policy = await self._context.policies.of(request.account)
        self._windows = policy.windows(request.account, self._context.clock.now_ms())
        metered_units = {window.budget.unit for window in self._windows}
        command = ReserveCommand(
            account=request.account,
            reservation_id=self._reservation_id,
            options=request.options,
            metered=[_is_metered(option, metered_units) for option in request.options],
            windows=self._windows,
            policy_version=policy.version,
            refusal=_refusal(policy, request.account),
            ttl_ms=request.ttl_ms,
            labels=request.labels,
            may_reclaim=self._reclaims_left > 0,
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
                refs = [window.ref for window in self._windows]
                counts = await context.ledger.window_counts(refs)
                await context.hot.load(self._tenant, None, counts)
            case Verdict.RECLAIM:
                self._reclaims_left -= 1
                for reservation_id in decision.detail:
                    await expire(context, self._locator, reservation_id)
            case _:
                raise AssertionError(decision)


async def reserve(context: Context, locator: Locator, request: ReserveRequest) -> Answer:
    """Hold an amount.

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
        "labels": dict(request.labels),
    }
    tenant = tenant_of(request.account)
    # An unknown account is told before anything of its tenant is opened.
    await context.policies.of(request.account)
    try:
        answer = await decide(context, tenant, fields, attempt.call, attempt.put_right)
    except ReserveDenied as denial:
        await _describe(context, denial)
        raise
    held = answer.operation.reservation
    assert held is not None
    locator.learn(held)
    return answer


async def _describe(context: Context, denial: ReserveDenied) -> None:
    """Add to a denial which budgets, in which windows, were in the way."""
    refs = [row.ref for row in denial.denied.limiting]
    account = denial.operation.account
    policy = await context.policies.of(account)
    if any(ref.budget_key not in policy.budget_by_key() for ref in refs):
        # A replay may be of a denial that another process gave by a budget made since.
        context.policies.forget(tenant_of(account))
        policy = await context.policies.of(account)
    budgets = policy.budget_by_key()
    denial.windows = {ref: policy.window_of(budgets[ref.budget_key], ref.start_ms) for ref in refs}
    denial.now_ms = context.clock.now_ms()


def _is_metered(option: Option, metered_units: set[Unit]) -> bool:
    """Say whether a budget meters every money leg; a count that nothing meters is only recorded."""
    return all(leg.unit in metered_units for leg in option.legs if leg.unit in MONEY_UNITS)


def _refusal(policy: TenantPolicy, account: str) -> DenialReason | None:
    states = {node.state for node in policy.chain(account)}
    if AccountState.CLOSED in states:
        return DenialReason.ACCOUNT_CLOSED
    if AccountState.FROZEN in states:
        return DenialReason.ACCOUNT_FROZEN
    return None
