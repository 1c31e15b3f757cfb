"""What was: ledger entries, reservations, and balances as of an earlier time."""

from __future__ import annotations

from collections.abc import Sequence

from authority.domain.errors import InvalidRequest
from authority.domain.history import EntryFilter, EntryRow, History
from authority.domain.ids import tenant_of
from authority.domain.reservations import Reservation, ReservationState
from authority.usecases.context import Context
from authority.usecases.grants import GrantBalance
from authority.usecases.read import AccountBalance, Balance


class Past:
    """Reads the ledger. Every method raises NotFound (the account) and Unavailable."""

    def __init__(self, context: Context, history: History) -> None:
        self._context = context
        self._history = history

    async def entries(
        self,
        account: str,
        wanted: EntryFilter,
        after: tuple[int, int] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[EntryRow]:
        """Return a page of the entries of an account and of those below it."""
        accounts = await self._below(account)
        return await self._history.entries(
            accounts, wanted, after, limit, latest_first=latest_first
        )

    async def reservations(
        self,
        account: str,
        state: ReservationState | None,
        after: tuple[int, str] | None,
        limit: int,
        *,
        latest_first: bool,
    ) -> list[Reservation]:
        """Return a page of the reservations of an account and of those below it."""
        accounts = await self._below(account)
        return await self._history.reservations(
            accounts, state, after, limit, latest_first=latest_first
        )

    async def _below(self, account: str) -> Sequence[str]:
        # Read anew: an account may have been moved, and no script tells that here.
        self._context.policies.forget(tenant_of(account))
        return (await self._context.policies.of(account)).below(account)

    async def balance(self, account: str, moment_ms: int) -> AccountBalance:
        """Return what a Reserve would have been checked against, by today's account tree.

        Budgets and grants that were made later are left out, and limits are those of then.

        Raises:
            InvalidRequest: the moment has not come yet.

        """
        now_ms = self._context.clock.now_ms()
        if moment_ms > now_ms:
            raise InvalidRequest.of("as_of_time", "must not be in the future; leave it out for now")
        tenant = tenant_of(account)
        self._context.policies.forget(tenant)
        policy = await self._context.policies.of(account)
        windows = [
            window
            for window in policy.windows(account, moment_ms)
            if window.budget.create_time.timestamp() * 1000 <= moment_ms
            and not window.budget.is_of_platform
        ]
        zones = {node.account: node.time_zone for node in policy.chain(account)}
        grants = await self._history.grants_at(list(zones), moment_ms)
        lots = [grant.lot_at(zones[grant.account], moment_ms) for grant in grants]
        lots.sort(key=lambda lot: lot.spending_order)
        refs = [window.ref for window in windows] + [lot.ref for lot in lots]
        counts = await self._history.counts_at(tenant, refs, moment_ms)
        balances = [GrantBalance(lot, counts[lot.ref], moment_ms) for lot in lots]
        budgets = await self._history.budgets_at((row.budget for row in windows), moment_ms)
        return AccountBalance(
            [
                Balance(window._replace(budget=budget), counts[window.ref])
                for window, budget in zip(windows, budgets, strict=True)
            ],
            [balance for balance in balances if not balance.is_spent],
            moment_ms,
        )
