"""Suggestions: the generations of an account's last days, put to every rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from authority.domain.errors import Unavailable
from authority.domain.history import History
from authority.domain.ids import tenant_of
from authority.domain.insights.alternatives import Market
from authority.domain.insights.past import Past, PastReader, Span
from authority.domain.insights.review import Review, Reviewed
from authority.domain.policies import TenantPolicy
from authority.domain.replay.payment import CreditPrices
from authority.usecases.context import Context
from authority.usecases.turns import in_turns
from generations.catalogue import Catalogue
from similarity.policy import CachePolicy

# Enough for a month of most accounts, and few enough to be gone through within a call.
GENERATIONS_MAX = 10_000
_DAY_MS = 86_400_000
_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class InsightContext:
    """What these use cases work with, wired by `authority.wiring`."""

    context: Context
    history: History
    past: PastReader
    catalogue: Catalogue
    providers: Callable[[], Awaitable[set[str]]]
    credit_prices: Callable[[], Awaitable[CreditPrices]]
    cache_policy: Callable[[str], Awaitable[CachePolicy]]
    today: Callable[[], date]
    # To go through thousands of rows takes the processor from the calls that hold money.
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    @asynccontextmanager
    async def one_at_a_time(self) -> AsyncIterator[None]:
        """Wait for the others. Raises Unavailable where there are too many."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self.turn.acquire()
        except TimeoutError:
            raise Unavailable("Other insights are being computed; try again.") from None
        try:
            yield
        finally:
            self.turn.release()

    async def market(self) -> Market:
        """Return what models there are."""
        return Market(self.catalogue, await self.providers(), self.today())

    def span(self, days: int) -> Span:
        """Return the last days, up to now."""
        now_ms = self.context.clock.now_ms()
        return Span(now_ms - days * _DAY_MS, now_ms)

    async def policy(self, account: str) -> TenantPolicy:
        """Return the policy of now. Raises NotFound and Unavailable."""
        # Read anew: an account may have been moved, and no script tells that here.
        self.context.policies.forget(tenant_of(account))
        return await self.context.policies.of(account)


class Insights(NamedTuple):
    """What was found in a time, and of how much of it."""

    reviewed: Reviewed
    span: Span
    past: Past


async def list_insights(context: InsightContext, account: str, days: int) -> Insights:
    """Return what would have saved money of an account's last days.

    Raises NotFound (the account) and Unavailable.
    """
    span, tenant = context.span(days), tenant_of(account)
    accounts = (await context.policy(account)).below(account)
    async with context.one_at_a_time():
        review = Review(await context.market(), await context.cache_policy(account))
        past = await context.past.open(tenant, accounts, span, GENERATIONS_MAX)
        async for page in context.past.pages(tenant, accounts, span, past):
            await in_turns(review.go_through(page))
        return Insights(review.finish(), span, past)
