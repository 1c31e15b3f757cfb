"""GetReservation and GetBalance."""

from __future__ import annotations

from typing import NamedTuple

from authority.domain.budgets import BudgetWindow
from authority.domain.errors import NotFound, Unavailable
from authority.domain.ids import PLATFORM, tenant_of
from authority.domain.ports import WindowCounts
from authority.domain.reservations import Reservation
from authority.usecases.context import Context
from authority.usecases.grants import GrantBalance

_ROUNDS_MAX = 6


class Balance(NamedTuple):
    """A budget in its window of now, with its counts."""

    window: BudgetWindow
    counts: WindowCounts

    @property
    def available(self) -> int:
        """Return what a Reserve may still take."""
        reserved, committed, refunded = self.counts
        return self.window.budget.limit - reserved - committed + refunded


async def get_reservation(context: Context, reservation_id: str) -> Reservation:
    """Return a reservation as it is now. Raises NotFound and Unavailable."""
    reading = await context.hot.read(tenant_of(reservation_id), reservation_id, ())
    if reading is not None and reading.reservation is not None:
        return reading.reservation
    stored = await context.ledger.reservation(reservation_id)
    if stored is None:
        raise NotFound("reservation", reservation_id)
    return stored


class AccountBalance(NamedTuple):
    """Every budget and grant that binds an account, its own budgets first, at one moment in ms."""

    budgets: list[Balance]
    grants: list[GrantBalance]
    read_ms: int


async def get_balance(context: Context, account: str, *, renew: bool = True) -> AccountBalance:
    """Return what a Reserve by an account would be checked against, without spent grants.

    Takes and raises what `read_balance` does.
    """
    found = await read_balance(context, account, renew=renew)
    return found._replace(grants=[grant for grant in found.grants if not grant.is_spent])


async def read_balance(context: Context, account: str, *, renew: bool) -> AccountBalance:
    """Return what a Reserve by an account would be checked against.

    Unless `renew` is true, limits may be those that this process has read last.

    Raises:
        NotFound: there is no such account.
        Unavailable: a store is away.

    """
    tenant = tenant_of(account)
    if tenant == PLATFORM:
        return await _balance_of_platform(context)
    for _ in range(_ROUNDS_MAX):
        # Read anew: unlike Reserve, no script tells whether the cached one is stale.
        if renew:
            context.policies.forget(tenant)
        policy = await context.policies.of(account)
        now_ms = context.clock.now_ms()
        # What is leased to the tenant is a matter of the moment, and no limit that it has.
        windows = [
            window for window in policy.windows(account, now_ms) if not window.budget.is_of_platform
        ]
        lots = policy.lots(account, policy.prepaid_units(account), now_ms)
        refs = [window.ref for window in windows] + [lot.ref for lot in lots]
        spans = [window.span for window in windows] + [lot.span for lot in lots]
        reading = await context.hot.read(tenant, None, refs)
        if reading is None:
            await context.open_tenant(tenant)
        elif any(not span.holds(reading.now_ms) for span in spans):
            context.clock.observe(reading.now_ms)
        elif None in reading.counts:
            await context.loads.load(tenant, refs, reading.epoch)
        else:
            counts = [row for row in reading.counts if row is not None]
            grants = [
                GrantBalance(lot, row, reading.now_ms)
                for lot, row in zip(lots, counts[len(windows) :], strict=True)
            ]
            return AccountBalance(
                list(map(Balance, windows, counts)),
                grants,
                reading.now_ms,
            )
    raise Unavailable("The hot state keeps changing; try again.")


async def _balance_of_platform(context: Context) -> AccountBalance:
    """Return what all tenants together count of the platform's budgets, as the ledger has it."""
    context.policies.forget(PLATFORM)
    policy = await context.policies.of(PLATFORM)
    now_ms = context.clock.now_ms()
    windows = policy.windows(PLATFORM, now_ms)
    counts = await context.ledger.platform_counts([window.ref for window in windows])
    return AccountBalance([Balance(window, counts[window.ref]) for window in windows], [], now_ms)
