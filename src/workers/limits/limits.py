"""The one place that says whether a provider may be called now, for whom and how often.

All is decided by scripts on the store and by its clock, so that any number of workers keep the same
limits. What is granted is a lease: a worker that dies gives its places back by renewing no more.
Nobody waits in here. Who is turned away is told when to ask again, and keeps its turn by asking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from generations.queue_control import (
    LIMITS_KEY,
    PAUSED_KEY,
    account_subject,
    load_key,
    provider_subject,
)
from workers.limits.policy import LimitSettings
from workers.limits.scripts import LimitScript, load

# `counts`, `opens` and `ignores` are those of the table in workers/providers/errors.py.
Outcome = Literal["succeeded", "counts", "opens", "ignores"]
# A place outlives its worker by two leases of a generation. To take the generation over takes one,
# so that it still finds its own place, and nobody else has got it meanwhile.
_LEASES_PER_PLACE = 2
RENEWALS_PER_LEASE = 4
AWAY_S = 3.0

_LIFE_KEY = "paymaster:limits:life"

log = structlog.get_logger(__name__)


class Busy(Exception):
    """A provider may not be called now.

    `why` is paused, cooldown, breaker_open, breaker_probing, account_concurrency,
    provider_concurrency, provider_rate, warming or store_away; ask again after `retry_s`.
    """

    # Other generations do not come through either; the rest passes with the turn of this one.
    _UNUSABLE = frozenset({"paused", "cooldown", "breaker_open", "breaker_probing"})

    def __init__(self, provider: str, why: str, retry_s: float) -> None:
        super().__init__(f"{provider}: {why}; again in {retry_s:.1f} s.")
        self.provider = provider
        self.why = why
        self.retry_s = retry_s

    @property
    def is_unusable(self) -> bool:
        """Whether the provider is out for everybody, such that another one may be better."""
        return self.why in self._UNUSABLE


@dataclass(slots=True, eq=False)
class Slot:
    """Leave to call a provider once. `used` is set before the call, or its token is given back."""

    provider: str
    account: str
    generation_id: str
    used: bool = False


class Limits:
    """Grants slots. `renew_leases` is to be called every `renew_s`."""

    def __init__(self, redis: Redis, settings: LimitSettings, *, lease_s: float) -> None:
        self._settings = settings
        self._lease_ms = int(lease_s * 1000 * _LEASES_PER_PLACE)
        self.renew_s = lease_s / RENEWALS_PER_LEASE
        # A renewal may be late by as much as it takes.
        self._warm_ms = int(self.renew_s * 1000) + 500
        self._seen_run = ""
        self._held: set[Slot] = set()
        self._scripts = {script: load(redis, script) for script in LimitScript}

    @property
    def held(self) -> frozenset[Slot]:
        """What is held at the moment."""
        return frozenset(self._held)

    @asynccontextmanager
    async def slot(
        self, provider: str, *, account: str, generation_id: str, rank_ms: float
    ) -> AsyncIterator[Slot]:
        """Hold leave to call a provider within the block. Raises Busy."""
        slot = await self.acquire(
            provider, account=account, generation_id=generation_id, rank_ms=rank_ms
        )
        try:
            yield slot
        finally:
            await self.release(slot)

    async def acquire(
        self, provider: str, *, account: str, generation_id: str, rank_ms: float
    ) -> Slot:
        """Take leave to call a provider, to be released. Raises Busy.

        Of those that wait, the one with the lowest `rank_ms` comes first (generations.queue.score).
        A generation that is run again takes the place over that its earlier run has left.
        """
        of_provider = self._settings.of_provider(provider)
        try:
            answer = await self._run(
                LimitScript.ACQUIRE,
                [
                    *(PAUSED_KEY, LIMITS_KEY, _LIFE_KEY),
                    *(_provider_key(provider, part) for part in ("breaker", "rate")),
                    *(_provider_key(provider, part) for part in ("held", "waiting", "asked")),
                    *(_account_key(account, part) for part in ("held", "waiting", "asked")),
                ],
                [
                    *(generation_id, f"{rank_ms:.0f}", self._lease_ms, self._warm_ms),
                    *(self._seen_run, provider_subject(provider), account_subject(account)),
                    *(of_provider.concurrency, of_provider.per_minute),
                    self._settings.account_concurrency,
                ],
            )
        except (RedisError, OSError) as error:
            log.warning("limits_unavailable", reason=type(error).__name__)
            raise Busy(provider, "store_away", AWAY_S) from error
        why, run, *wait_ms = map(_text, answer)
        self._seen_run = run
        if why:
            retry_s = int(wait_ms[0]) / 1000
            log.debug("slot_refused", provider=provider, why=why, retry_s=retry_s)
            raise Busy(provider, why, retry_s)
        slot = Slot(provider, account, generation_id)
        self._held.add(slot)
        return slot

    async def release(self, slot: Slot) -> None:
        """Give a slot back, once or more. Never raises: its lease passes by itself."""
        if slot not in self._held:
            return
        self._held.discard(slot)
        # A generation that has asked for several providers has one place in its account.
        is_last = all(other.generation_id != slot.generation_id for other in self._held)
        try:
            await self._run(
                LimitScript.RELEASE,
                [
                    LIMITS_KEY,
                    *(_provider_key(slot.provider, part) for part in ("rate", "held")),
                    *([_account_key(slot.account, "held")] if is_last else []),
                ],
                [
                    *(slot.generation_id, provider_subject(slot.provider)),
                    "yes" if slot.used else "no",
                    self._settings.of_provider(slot.provider).per_minute,
                ],
            )
        except (RedisError, OSError) as error:
            log.warning("slot_unreleased", provider=slot.provider, reason=type(error).__name__)

    async def report(
        self, slot: Slot, outcome: Outcome, *, cooldown_s: float | None = None
    ) -> None:
        """Say what came of a call, before its slot is released. Never raises.

        `cooldown_s` is how long the provider has asked to be left alone, by everybody.
        """
        settings = self._settings
        try:
            changed = await self._run(
                LimitScript.REPORT,
                [_provider_key(slot.provider, "breaker")],
                [
                    *(slot.generation_id, outcome, settings.breaker_failures),
                    int(settings.breaker_open_s * 1000),
                    int(max(settings.breaker_open_s, settings.breaker_open_s_max) * 1000),
                    int((cooldown_s or 0.0) * 1000),
                ],
            )
        except (RedisError, OSError) as error:
            log.warning("outcome_unreported", provider=slot.provider, reason=type(error).__name__)
            return
        if cooldown_s:
            log.warning("provider_cooling", provider=slot.provider, seconds=cooldown_s)
        if _text(changed) == "opened":
            log.error("breaker_opened", provider=slot.provider, outcome=outcome)
        elif _text(changed) == "closed":
            log.info("breaker_closed", provider=slot.provider)

    async def renew_leases(self) -> None:
        """Keep what is held. Raises redis errors."""
        groups: dict[str, set[str]] = {}
        renewed = list(self._held)
        for slot in renewed:
            for key in (_provider_key(slot.provider, "held"), _account_key(slot.account, "held")):
                groups.setdefault(key, set()).add(slot.generation_id)
        if not groups:
            return
        ids = chain.from_iterable((len(group), *group) for group in groups.values())
        run = await self._run(
            LimitScript.RENEW,
            [_LIFE_KEY, *groups],
            [self._lease_ms, self._warm_ms, self._seen_run, *ids],
        )
        self._seen_run = _text(run)
        for slot in renewed:
            # Released meanwhile, its place may have been added again after that.
            holders = {(other.provider, other.generation_id) for other in self._held}
            if (slot.provider, slot.generation_id) not in holders:
                slot.used = True
                self._held.add(slot)
                await self.release(slot)

    async def _run(self, script: LimitScript, keys: list[str], arguments: list[Any]) -> Any:
        return await self._scripts[script](keys=keys, args=arguments)


def _provider_key(provider: str, part: str) -> str:
    return load_key(provider_subject(provider), part)


def _account_key(account: str, part: str) -> str:
    return load_key(account_subject(account), part)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
