"""How accounts pay, as the authority says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from clients import errors as refusals
from clients.amounts import Unit
from clients.credit_types import CreditStatus, PriceList

# Reserve decides, so what is a little old here misleads nobody.
FRESH_SECONDS = 5.0
_ACCOUNTS_MAX = 10_000


class Terms(NamedTuple):
    """How an account pays, and the best tier that its plans allow; '' for any."""

    tier: str = ""
    prepaid_units: frozenset[Unit] = frozenset()
    price_list: PriceList | None = None


NO_TERMS = Terms()


class TermsOfAccounts:
    """Asks how accounts pay, of each account at most every 5 s."""

    def __init__(self, ask: Callable[[str], Awaitable[CreditStatus]]) -> None:
        self._ask = ask
        self._known: dict[str, tuple[float, Terms]] = {}

    async def of(self, account: str) -> Terms:
        """Return how an account pays. Raises clients.errors.PaymasterError, but for NotFound.

        An account that is unknown is one whose Reserve is refused.
        """
        now = asyncio.get_running_loop().time()
        read_at, terms = self._known.get(account, (-FRESH_SECONDS, NO_TERMS))
        if now - read_at < FRESH_SECONDS:
            return terms
        try:
            status = await self._ask(account)
            terms = Terms(status.tier, frozenset(status.prepaid_units), status.price_list)
        except refusals.NotFound:
            terms = NO_TERMS
        if len(self._known) >= _ACCOUNTS_MAX:
            self._known.clear()
        self._known[account] = now, terms
        return terms
