"""What the cache has saved, in the books: operations that charge nothing.

Like a grant, each claims its key in the hot store and is then written to the ledger; unlike one, it
has no effect there, and no policy changes. Repeating it gives the first answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from authority.domain.ids import REVERSAL_PREFIX, tenant_of, uuid_of
from authority.domain.operations import Kind
from authority.domain.ports import Decision, Keyed
from authority.usecases.context import Context
from authority.usecases.decide import Answer, decide


class CacheBooking(NamedTuple):
    """A generation that the cache has served, as it is booked. `saved` is in micros of USD.

    `entry_id` is '' for one that joined another, `score_ppm` None where nothing was measured.
    """

    idempotency_key: str
    account: str
    generation_id: str
    entry_id: str
    stage: str
    score_ppm: int | None
    saved: int


async def book_hit(context: Context, booking: CacheBooking) -> Answer:
    """Book a hit.

    Raises:
        NotFound: there is no such account.
        IdempotencyKeyReused: the key was used for another request.
        Unavailable: a store is away; the outcome may be unknown.

    """
    await context.policies.of(booking.account)
    return await _record(context, Kind.CACHE_HIT, booking)


async def book_reversal(context: Context, booking: CacheBooking) -> Answer:
    """Book back what a hit has saved; once, however often it is asked for. Raises Unavailable."""
    key = REVERSAL_PREFIX + uuid_of(booking.generation_id)
    back = booking._replace(idempotency_key=key, saved=-booking.saved)
    return await _record(context, Kind.CACHE_REVERSAL, back)


async def _record(context: Context, kind: Kind, booking: CacheBooking) -> Answer:
    fields: dict[str, Any] = booking._asdict()
    fields = {"kind": kind, "key": fields.pop("idempotency_key"), **fields}

    async def call(keyed: Keyed) -> Decision:
        return await context.hot.record(keyed, {})

    async def put_right(decision: Decision) -> None:
        raise AssertionError(decision)

    return await decide(context, tenant_of(booking.account), fields, call, put_right)
