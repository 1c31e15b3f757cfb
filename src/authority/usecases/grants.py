"""Grants: made and voided as operations, so that a top-up that is repeated grants once.

The operation claims its key in the hot store; its effect is written to the ledger with it, and the
version of the tenant's policy raised there. The grant can be spent once this is answered; if this
process dies before, the sweeper tells the hot store (recovery/sweep.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from authority.domain.budgets import Account
from authority.domain.callers import Cause
from authority.domain.errors import InvalidRequest, NotFound
from authority.domain.grants import GRANTS_PER_ACCOUNT_MAX, Grant, Lot
from authority.domain.ids import tenant_of
from authority.domain.operations import Kind, Operation
from authority.domain.ports import Decision, Keyed, WindowCounts
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide, new_id


class GrantBalance(NamedTuple):
    """A grant in its period of now, with its counts, as of a time in ms."""

    lot: Lot
    counts: WindowCounts
    read_ms: int

    @property
    def left(self) -> int:
        """Return what is left of it; below zero where debt was charged to it."""
        reserved, committed, refunded = self.counts
        return self.lot.grant.amount - reserved - committed + refunded

    @property
    def is_spent(self) -> bool:
        """Say whether nothing is left of it, held, or owed."""
        return not self.left and not self.counts.reserved

    @property
    def is_active(self) -> bool:
        """Say whether what is left may be spent."""
        return self.lot.is_active(self.read_ms)

    @property
    def has_ended(self) -> bool:
        """Say whether its time has passed, or it was voided."""
        expire_ms = self.lot.expire_ms
        return expire_ms != 0 and self.read_ms >= expire_ms


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A valid request. The grant's id, key and times of creation and voiding are not yet set."""

    idempotency_key: str
    grant: Grant
    cause: Cause


async def create_grant(context: Context, request: GrantRequest) -> tuple[Grant, bool]:
    """Grant an amount; return the grant, and whether this answers an earlier call.

    Raises:
        NotFound: there is no such account.
        InvalidRequest: the account has as many grants as it may.
        IdempotencyKeyReused: the key was used for another request.
        Unavailable: a store is away; the outcome may be unknown.

    """
    account = request.grant.account
    policy = await context.policies.of(account)
    if len(policy.grants.get(account, ())) >= GRANTS_PER_ACCOUNT_MAX:
        raise InvalidRequest.of(
            "grant.account",
            f"an account may have at most {GRANTS_PER_ACCOUNT_MAX} grants that are not spent",
        )
    return await make_grant(context, request)


async def make_grant(context: Context, request: GrantRequest) -> tuple[Grant, bool]:
    """Grant an amount, however many grants the account has. Raises what `create_grant` does."""
    account = request.grant.account
    now_ms = context.clock.now_ms()
    grant = replace(
        request.grant,
        grant_id=f"{tenant_of(account)}/{new_id()}",
        effective_ms=request.grant.effective_ms or now_ms,
        create_ms=now_ms,
    )
    asked = request.grant.encode()
    del asked["grant_id"], asked["create_ms"], asked["void_ms"]
    reason = request.cause.reason
    fields = {"kind": Kind.GRANT, "key": request.idempotency_key, "reason": reason, **asked}
    operation, replayed = await _record(context, fields, grant, request.cause)
    assert operation.grant is not None
    return operation.grant, replayed


async def void_grant(context: Context, key: str, grant_id: str, cause: Cause) -> tuple[Grant, bool]:
    """Take back what is left of a grant. Raises NotFound, IdempotencyKeyReused, Unavailable."""
    grant = await find_grant(context, grant_id)
    if not grant.void_ms:
        grant = replace(grant, void_ms=context.clock.now_ms())
    fields = {
        "kind": Kind.VOID,
        "key": key,
        "account": grant.account,
        "grant_id": grant_id,
        "reason": cause.reason,
    }
    operation, replayed = await _record(context, fields, grant, cause)
    assert operation.grant is not None
    return operation.grant, replayed


async def find_grant(context: Context, grant_id: str) -> Grant:
    """Return a grant. Raises NotFound and Unavailable."""
    grant = await context.ledger.grant(grant_id)
    if grant is None:
        raise NotFound("grant", grant_id)
    return grant


async def balances(context: Context, account: str, grants: Sequence[Grant]) -> list[GrantBalance]:
    """Return grants of an account with their counts. Raises NotFound and Unavailable."""
    owner: Account = await context.policies.account(account)
    now_ms = context.clock.now_ms()
    lots = [grant.lot_at(owner.time_zone, _present(grant, now_ms)) for grant in grants]
    refs = [lot.ref for lot in lots]
    reading = await context.hot.read(tenant_of(account), None, refs)
    hot = reading.counts if reading is not None else [None] * len(refs)
    stored: Mapping[Any, WindowCounts] = await context.ledger.window_counts(refs)
    return [
        GrantBalance(lot, counts if counts is not None else stored[lot.ref], now_ms)
        for lot, counts in zip(lots, hot, strict=True)
    ]


def _present(grant: Grant, now_ms: int) -> int:
    """Return the moment whose period is shown: now, or the last one that it lived through."""
    return min(now_ms, grant.end_ms - 1) if grant.end_ms else now_ms


async def _record(
    context: Context, fields: Mapping[str, Any], grant: Grant, cause: Cause
) -> Answer:
    tenant = tenant_of(grant.account)
    # The actor is in the result, not in the request: whoever repeats the request gets its answer.
    result = {"grant": grant.encode(), "actor": cause.actor}

    async def call(keyed: Keyed) -> Decision:
        return await context.hot.record(keyed, result)

    async def put_right(decision: Decision) -> None:
        raise AssertionError(decision)

    answer = await decide(context, tenant, fields, call, put_right)
    await _bind(context, answer.operation)
    return answer


async def _bind(context: Context, operation: Operation) -> None:
    """Tell the hot store of the policy version that the ledger has with the operation."""
    tenant = operation.tenant
    context.policies.forget(tenant)
    policy = await context.policies.of(operation.account)
    if not await context.hot.raise_policy_version(tenant, policy.version):
        await context.open_tenant(tenant)
        await context.hot.raise_policy_version(tenant, policy.version)
