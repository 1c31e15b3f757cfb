"""Expire: give a reservation back whose time has passed."""

from __future__ import annotations

from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.ports import Verdict
from authority.usecases.context import Context
from authority.usecases.decide import new_id
from authority.usecases.locate import Locator

_ROUNDS_MAX = 3


async def expire(context: Context, locator: Locator, reservation_id: str) -> bool:
    """Expire one reservation, if it is still held and due. Return whether this call did it.

    Raises:
        Unavailable: a store is away; calling again is safe.

    """
    for _ in range(_ROUNDS_MAX):
        try:
            located = await locator.find(context, reservation_id)
            decision = await context.hot.expire(located.held, new_id())
            match decision.verdict:
                case Verdict.DONE:
                    assert decision.operation is not None
                    await context.journal.append(decision.operation, decision.entry)
                    return True
                case Verdict.NOT_LOADED:
                    await context.open_tenant(tenant_of(reservation_id))
                case Verdict.MISSING:
                    await locator.load(context, reservation_id)
                case Verdict.MISPLACED:
                    locator.forget(reservation_id)
                case _:
                    return False
        except NotFound:
            return False  # it never reached the ledger, and the hot store that held it is gone
    return False
