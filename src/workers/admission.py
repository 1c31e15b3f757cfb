"""Leave to call providers, which an attempt needs before anything is held for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date

from generations.catalogue import Catalogue
from generations.queue import score_ms
from workers.fallback import left_out
from workers.limits import Busy, Limits, Slot
from workers.options import NoOption, priced_options
from workers.outcomes import SHORT_S_MAX
from workers.paying import ways_to_pay
from workers.providers.base import Provider
from workers.providers.errors import ProviderError
from workers.rows import Claim, Option
from workers.terms import NO_TERMS, Terms

# Errors by which a provider asks everybody to leave it alone for a while.
COOLING = frozenset({"rate_limited", "unavailable"})


class Leave:
    """The slots of an attempt, by provider: of each that it may come to call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots: dict[str, Slot] = {}

    async def take(self, claim: Claim, providers: Iterable[str]) -> None:
        """Take a slot of each provider. Raises Busy, with none taken."""
        try:
            for provider in dict.fromkeys(providers):
                self._slots[provider] = await self._limits.acquire(
                    provider,
                    account=claim.request.account,
                    generation_id=claim.generation_id,
                    rank_ms=score_ms(claim.priority, claim.create_time),
                )
        except BaseException:
            await self.give_back()
            raise

    async def use(self, provider: str) -> None:
        """Say that one of them is going to be called; the others' slots are given back."""
        for name in [name for name in self._slots if name != provider]:
            await self._limits.release(self._slots.pop(name))
        if provider in self._slots:
            self._slots[provider].used = True

    async def report(self, provider: str, error: ProviderError | None = None) -> None:
        """Tell the breaker how a call ended."""
        slot = self._slots.get(provider)
        if slot is None:
            return
        if error is None:
            await self._limits.report(slot, "succeeded")
            return
        cooldown_s = error.retry_after_seconds if error.reason in COOLING else None
        await self._limits.report(slot, error.breaker, cooldown_s=cooldown_s)

    async def give_back(self) -> None:
        """Give back what is left."""
        while self._slots:
            await self._limits.release(self._slots.popitem()[1])


class Admission:
    """Finds providers that may be called now."""

    def __init__(
        self,
        limits: Limits,
        catalogue: Catalogue,
        providers: Mapping[str, Provider],
        today: Callable[[], date],
    ) -> None:
        self._limits = limits
        self._catalogue = catalogue
        self._providers = providers
        self._today = today

    def options(
        self, claim: Claim, terms: Terms = NO_TERMS, unusable: Iterable[str] = ()
    ) -> list[Option]:
        """Return the options of the next attempt, best first. Raises NoOption."""
        options = priced_options(
            self._catalogue,
            claim.request,
            self._providers,
            self._today(),
            without=left_out(claim) | set(unusable),
            tier=terms.tier,
        )
        return ways_to_pay(options, claim.request, terms)

    @asynccontextmanager
    async def begin(
        self, claim: Claim, terms: Terms = NO_TERMS
    ) -> AsyncIterator[tuple[list[Option], Leave]]:
        """Give the options of the next attempt, and within the block leave to call their providers.

        A provider that nobody may call makes way for the next one. Raises Busy and NoOption.
        """
        leave = Leave(self._limits)
        options = await self._take(claim, terms, leave)
        try:
            yield options, leave
        finally:
            await leave.give_back()

    @asynccontextmanager
    async def go_on(self, claim: Claim, providers: Iterable[str]) -> AsyncIterator[Leave | None]:
        """Give leave for what an earlier run has begun, or None where there is none to be had."""
        leave = Leave(self._limits)
        try:
            await leave.take(claim, providers)
        except Busy:
            yield None
            return
        try:
            yield leave
        finally:
            await leave.give_back()

    async def _take(self, claim: Claim, terms: Terms, leave: Leave) -> list[Option]:
        unusable: dict[str, Busy] = {}
        while True:
            try:
                options = self.options(claim, terms, unusable)
            except NoOption:
                if not unusable:
                    raise
                raise min(unusable.values(), key=lambda busy: busy.retry_s) from None
            try:
                await leave.take(claim, [option.provider for option in options])
            except Busy as busy:
                if not busy.is_unusable or _passes_soon(busy):
                    raise
                unusable[busy.provider] = busy
            else:
                return options


def _passes_soon(busy: Busy) -> bool:
    """Say whether a provider only wants to be left alone for a moment, which is waited out."""
    return busy.why == "cooldown" and busy.retry_s <= SHORT_S_MAX
