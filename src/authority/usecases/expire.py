"""Expire: give a reservation back whose time has passed."""

from __future__ import annotations

from authority.domain.errors import NotFound, PaymasterError
from authority.domain.ids import tenant_of
from authority.domain.ports import Verdict
from authority.usecases.context import Context
from authority.usecases.decide import new_id
from authority.usecases.locate import Locator

_ROUNDS_MAX = 3


class BrokenReservation(Exception):
    """The hot state of a reservation can't be read; its hold stays until that is made anew."""


async def expire(context: Context, locator: Locator, reservation_id: str) -> bool:
    """Expire one reservation, if it is still held and due. Return whether this call did it.

    Raises:
        Unavailable: a store is away; calling again is safe.
        BrokenReservation: it can't be expired, whoever asks. No Reserve will try to.

    """
    try:
        return await _expire(context, locator, reservation_id)
    except PaymasterError:
        raise
    except Exception as error:
        await context.hot.set_aside(reservation_id)
        raise BrokenReservation(reservation_id) from error


async def _expire(context: Context, locator: Locator, reservation_id: str) -> bool:
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
                    await locator.load(context, reservation_id, decision.epoch)
                case Verdict.MISPLACED:
                    locator.forget(reservation_id)
                case _:
                    return False
        except NotFound:
            return False  # it never reached the ledger, and the hot store that held it is gone
    return False
