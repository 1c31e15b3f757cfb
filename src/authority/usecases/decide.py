"""The way of every operation: decide in the hot store, remember in the ledger, then answer.

A script may answer that it can't decide yet: the tenant is not open in this epoch, a window is not
loaded, the policy is stale. Each of these is put right and the script called again, with the same
operation id. Nothing has happened until a script answers DONE.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson
import uuid_utils

from authority.domain.errors import IdempotencyKeyReused, ReserveDenied, Unavailable
from authority.domain.ids import uuid7_milliseconds
from authority.domain.operations import Operation
from authority.domain.ports import Decision, Keyed, Verdict
from authority.usecases.context import Context

# Each round puts one thing right; more than a few mean that the ground keeps moving.
_ROUNDS_MAX = 12
# Answers stay hot for 25 hours (hotstate/scripts/_prelude.lua); an hour is left for clocks that
# differ, and a key may have been made ahead of its first use by half of that.
_HOT_ANSWER_MS = 24 * 3_600_000
_AHEAD_MS_MAX = 1_800_000

PutRight = Callable[[Decision], Awaitable[None]]


class Answer(NamedTuple):
    """An operation that is in the ledger, and whether it is the answer to an earlier call."""

    operation: Operation
    replayed: bool


def canonical(fields: Mapping[str, Any]) -> str:
    """Return the request as the text that replays are compared with."""
    return orjson.dumps(fields, default=tuple, option=orjson.OPT_SORT_KEYS).decode()


def new_id() -> str:
    """Return a new UUIDv7."""
    return str(uuid_utils.uuid7())


async def decide(
    context: Context,
    tenant: str,
    request: Mapping[str, Any],
    call: Callable[[Keyed], Awaitable[Decision]],
    put_right: PutRight,
    *,
    durable: bool = True,
) -> Answer:
    """Run an operation to its answer.

    Args:
        context: the ports.
        tenant: whose slot decides.
        request: the canonical fields, with `kind` and `key`.
        call: calls the script.
        put_right: handles the verdicts that are the operation's own: STALE_POLICY, MOVED, MISSING,
            MISPLACED, RECLAIM, and raises for STATE, EXCEEDS and NOT_HELD.
        durable: whether to answer only once the operation is in the ledger.

    Raises:
        IdempotencyKeyReused: the key was used for another request.
        ReserveDenied: the first answer was a denial.
        Unavailable: a store is away; the outcome may be unknown.

    """
    text, key = canonical(request), str(request["key"])
    keyed = Keyed(tenant, key, text, new_id(), checked=False)
    if not _answers_are_hot(key, context.clock.now_ms()):
        known = await _look_up(context, keyed)
        if known is not None:
            return _answer(known, replayed=True)
        keyed = keyed._replace(checked=True)
    for _ in range(_ROUNDS_MAX):
        decision = await call(keyed)
        match decision.verdict:
            case Verdict.DONE | Verdict.REPLAYED:
                return await _remember(context, decision, durable=durable)
            case Verdict.REUSED:
                raise _reused(key, decision.detail[0], text)
            case Verdict.LOOK_UP:
                known = await _look_up(context, keyed)
                if known is not None:
                    return _answer(known, replayed=True)
                keyed = keyed._replace(checked=True)
            case Verdict.NOT_LOADED:
                await context.open_tenant(tenant)
                # What was journalled until the tenant was opened is in the ledger alone.
                keyed = keyed._replace(checked=False)
            case _:
                await put_right(decision)
    raise Unavailable("The hot state keeps changing; try again.")


async def renew_policy(context: Context, tenant: str, decision: Decision) -> None:
    """Put STALE_POLICY right: read it anew, or tell the hot store of a change that it missed."""
    context.policies.forget(tenant)
    policy = await context.policies.of(tenant)
    if policy.version > int(decision.detail[0]):
        await context.hot.raise_policy_version(tenant, policy.version)


def _answers_are_hot(key: str, now_ms: int) -> bool:
    """Say whether an earlier use of the key must still be in the hot store.

    Only a UUIDv7 tells when it was made; any other key may be as old as the ledger, and so may one
    that claims to be from the future.
    """
    made_ms = uuid7_milliseconds(key)
    return made_ms is not None and -_HOT_ANSWER_MS < made_ms - now_ms <= _AHEAD_MS_MAX


async def _look_up(context: Context, keyed: Keyed) -> Operation | None:
    known = await context.ledger.find_operation(keyed.tenant, keyed.key)
    if known is not None and known.request != keyed.request:
        raise _reused(keyed.key, known.request, keyed.request)
    return known


async def _remember(context: Context, decision: Decision, *, durable: bool) -> Answer:
    operation, replayed = decision.operation, decision.verdict is Verdict.REPLAYED
    assert operation is not None
    if operation.denied is not None or not durable:
        # Nothing was moved that could be lost, so a denial is not waited for.
        if not replayed:
            context.journal.append_later(operation, decision.entry)
    elif decision.waits:
        await context.journal.append(operation, decision.entry)
    return _answer(operation, replayed=replayed)


def _answer(operation: Operation, *, replayed: bool) -> Answer:
    if operation.denied is not None:
        raise ReserveDenied(operation, replayed=replayed)
    return Answer(operation, replayed)


def _reused(key: str, first: str, second: str) -> IdempotencyKeyReused:
    before, now = json.loads(first), json.loads(second)
    fields = sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
    )
    return IdempotencyKeyReused(key, fields)
