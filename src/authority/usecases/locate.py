"""Finds the windows of a reservation, and brings in what the hot store has not loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from authority.domain.budgets import WindowRef
from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.reservations import Reservation
from authority.usecases.context import Context

_KNOWN_MAX = 100_000


class Located(NamedTuple):
    """What never changes about a reservation: whose it is, and the windows that it belongs to."""

    account: str
    windows: tuple[WindowRef, ...]


class Locator:
    """Knows recent reservations by their ids."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Located] = OrderedDict()

    def learn(self, reservation: Reservation) -> Located:
        """Remember a reservation."""
        located = Located(reservation.account, reservation.windows)
        self._known[reservation.reservation_id] = located
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return located

    async def find(self, context: Context, reservation_id: str) -> Located:
        """Return a reservation's account and windows, in the order that scripts take them.

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

    async def load(self, context: Context, reservation_id: str) -> None:
        """Bring a reservation and its windows from the ledger into the hot store."""
        stored = await self._stored(context, reservation_id)
        self.learn(stored)
        counts = await context.ledger.window_counts(stored.windows)
        await context.hot.load(tenant_of(reservation_id), stored, counts)

    async def _stored(self, context: Context, reservation_id: str) -> Reservation:
        stored = await context.ledger.reservation(reservation_id)
        if stored is None:
            self._known.pop(reservation_id, None)
            raise NotFound("reservation", reservation_id)
        return stored
