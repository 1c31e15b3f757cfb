"""The pipeline in this process, on real stores, under the real authority: it dies where it is told.

A step is every call that it makes: of the store, the authority, the provider, the artifacts.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from authorities import TOKEN
from clients import AuthorityClient, UsageClient
from generations.artifacts import ArtifactStore
from generations.catalogue import Catalogue
from similarity.embedders.wordllama import wordllama
from workers.cache.cache import SimilarityCache
from workers.cache.embeddings import Embeddings
from workers.cache.store import CacheStore
from workers.database import DatabaseAway, make_pool
from workers.limits import Limits, LimitSettings
from workers.main import now
from workers.pipeline import Pipeline
from workers.providers.registry import live_providers
from workers.providers.settings import ProviderSettings
from workers.rows import Claim
from workers.runner import TryLater
from workers.store import WorkStore
from workers.terms import TermsOfAccounts

LEASE_S = 0.1
# Many tests share the machine.
SLOW_S = 10.0


class Died(BaseException):
    """What no part of the pipeline may catch, like the kill that it stands for."""


class Fate:
    """Numbers the steps of a run, and lets it die at one of them, or lose the reply to it.

    `step` is a number, or the name of the first step that has it.
    """

    def __init__(self, step=0, moment="before"):
        self.at = step
        self.moment = moment
        self.steps = []

    def over(self, part):
        """Return the part, with its steps watched."""
        return _Watched(part, self)

    async def step(self, name, call):
        self.steps.append(name)
        dies = self.at == len(self.steps) or (self.at == name and self.steps.count(name) == 1)
        if dies and self.moment == "before":
            raise Died
        result = await call()
        if dies:
            raise Died if self.moment == "after" else DatabaseAway
        return result


class _Watched:
    def __init__(self, part, fate):
        self._part = part
        self._fate = fate

    def __getattr__(self, name):
        found = getattr(self._part, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def watched(*args, **kwargs):
            return await self._fate.step(name, lambda: found(*args, **kwargs))

        return watched


@pytest.fixture
async def run(authority_address, authority_settings, ledger_url, redis_url, emulator):
    """A function that runs a generation to its end, the first times under fates.

    With `only_fated` it returns after those. Later runs have no provider named by `lacking`.
    """
    pool = make_pool(ledger_url, size_max=4)
    await pool.open()
    store = WorkStore(pool)
    providers = live_providers(
        ProviderSettings(
            OPENAI_API_KEY=emulator.openai_key,
            OPENAI_BASE_URL=emulator.openai_base_url,
            FAL_KEY=emulator.fal_key,
            FAL_QUEUE_URL=emulator.fal_queue_url,
        )
    )
    artifacts = ArtifactStore(authority_settings.artifacts)
    redis = Redis.from_url(redis_url)
    limits = Limits(redis, LimitSettings(), lease_s=LEASE_S)
    cache_store = await CacheStore.open(pool)
    embeddings = Embeddings(wordllama(), seconds_max=SLOW_S)

    async def run(generation_id, *fates, clock=now, only_fated=False, lacking=()):
        left = list(fates)
        while left or not only_fated:
            claim = await store.claim(generation_id, "worker", LEASE_S)
            if claim is None:
                return
            if not isinstance(claim, Claim):
                await asyncio.sleep(claim)
                continue
            is_fated = bool(left)
            fate = left.pop(0) if left else Fate()
            pipeline = Pipeline(
                fate.over(store),
                fate.over(authority),
                {
                    name: fate.over(provider)
                    for name, provider in providers.items()
                    if is_fated or name not in lacking
                },
                fate.over(artifacts),
                Catalogue.load(),
                limits,
                SimilarityCache(fate.over(cache_store), fate.over(artifacts), embeddings),
                TermsOfAccounts(fate.over(usage).get_credit_status).of,
                now if is_fated else clock,
            )
            with suppress(Died, TryLater, DatabaseAway):
                await pipeline.run(claim)

    async with (
        AuthorityClient(authority_address, token=TOKEN, timeout=10) as authority,
        UsageClient(authority_address, token=TOKEN, timeout=10) as usage,
    ):
        yield run
    for provider in providers.values():
        await provider.aclose()
    await redis.aclose()
    await pool.close()
