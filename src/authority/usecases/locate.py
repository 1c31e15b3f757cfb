"""Finds what a reservation is held on, and brings in what the hot store has not loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.ports import HeldOn
from authority.domain.reservations import Reservation, ReservationState
from authority.usecases.context import Context

_KNOWN_MAX = 100_000


class Located(NamedTuple):
    """Whose a reservation is, and the windows and lots that it belongs to."""

    account: str
    held: HeldOn


class Locator:
    """Knows recent reservations by their ids."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Located] = OrderedDict()

    def learn(self, reservation: Reservation) -> Located:
        """Remember a reservation."""
        held = HeldOn(reservation.reservation_id, reservation.windows, reservation.lots)
        located = Located(reservation.account, held)
        self._known[reservation.reservation_id] = located
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return located

    def learn_settled(self, reservation: Reservation) -> None:
        """Remember a reservation anew, or forget one that is closed.

        That is seldom asked for again, and would fill the memory with the past.
        """
        if reservation.state is ReservationState.HELD:
            self.learn(reservation)
        else:
            self.forget(reservation.reservation_id)

    def forget(self, reservation_id: str) -> None:
        """Find the reservation anew at the next call: other lots were taken since."""
        self._known.pop(reservation_id, None)

    async def find(self, context: Context, reservation_id: str) -> Located:
        """Return a reservation's account, and what it is held on, in the order of its keys.

        Raises:
            NotFound: there is no such reservation.
            Unavailable: a store is away.

        """
        known = self._known.get(reservation_id)
        if known is not None:
            return known
        reading = await context.hot.read(tenant_of(reservation_id), reservation_id, ())
        if reading is not None and reading.reservation is not None:
            return self.learn(reading.reservation)
        return self.learn(await self._stored(context, reservation_id))

    async def load(self, context: Context, reservation_id: str, epoch: int) -> None:
        """Bring a reservation, its windows and its lots from the ledger into the hot store.

        `epoch` is the one in which they were missed.
        """
        stored = await self._stored(context, reservation_id)
        held = self.learn(stored).held
        counts = await context.ledger.window_counts((*held.windows, *held.lots))
        await context.hot.load(tenant_of(reservation_id), stored, counts, epoch)

    async def _stored(self, context: Context, reservation_id: str) -> Reservation:
        stored = await context.ledger.reservation(reservation_id)
        if stored is None:
            self.forget(reservation_id)
            raise NotFound("reservation", reservation_id)
        return stored
