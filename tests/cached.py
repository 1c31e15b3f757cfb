"""Fixtures: entries, hits and samples of the cache, made by hand as workers write them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from psycopg.types.json import Jsonb

from authorities import TOKEN, new_key
from clients import CacheClient
from generations.catalogue import Catalogue
from generations.requests import validate_request
from similarity.embedders.wordllama import wordllama
from similarity.normalise import normalise
from similarity.scope import fingerprint
from similarity.stages import possible_stages

COST = 42_000


class Cached:
    """Plants what workers would have written."""

    def __init__(self, stores, generations) -> None:
        self.stores = stores
        self.generations = generations
        self._catalogue = Catalogue.load()
        self._embedder = wordllama()

    async def made(self, account="acme", prompt="a lighthouse", **fields):
        """Add a generation that has succeeded; return its id."""
        made = await self.generations.submit(account, prompt, **fields)
        generation_id = made.generation.generation_id
        await self.stores.rows(
            "UPDATE generation SET state = 'SUCCEEDED', end_time = now(), looked_up = true,"
            " model = %s, cost_micros = %s WHERE generation_id = %s",
            *("gpt-image-1", COST, generation_id),
        )
        return generation_id

    async def entry(self, account="acme", prompt="a lighthouse", structured=None, **fields):
        """Add an entry, as what is made for the prompt fills it; return its id."""
        generation_id = await self.made(account, prompt, **fields)
        context = {
            name: tuple(held.values) for name, held in fields.get("context", {}).items()
        } or None
        today = datetime.now(UTC).date()  # noqa: TID251  # The day that the authority has too.
        request = validate_request(
            account=account, prompt=prompt, catalogue=self._catalogue, today=today
        )
        providers = {model.provider for model in self._catalogue.models(request.kind)}
        choice = self._catalogue.choices(
            request.kind, request.quality, "", providers, today, size=request.size
        )[0]
        known = await asyncio.to_thread(
            fingerprint,
            request,
            model=choice.model.name,
            quality=choice.quality,
            stages=possible_stages(request, has_context=context is not None),
            embedder=self._embedder.name,
            context=context,
            structured=structured,
        )
        (vector,), _ = await self._embedder.embed([normalise(prompt)])
        entry_id = f"{account.partition('/')[0]}/{new_key()}"
        await self.stores.rows(
            "INSERT INTO cache_entry (entry_id, tenant, scope_hash, exact_hash, normalised_hash,"
            " signature_hash, structured_hash, context, embedding, embedder, generation_id, kind,"
            " model, quality_class, cost_micros, expire_time) VALUES (%s, split_part(%s, '/', 1),"
            " %s, %s, %s, %s, %s, %s, %s::halfvec, %s, %s, 'image', %s, %s, %s,"
            " now() + interval '1 day')",
            *(entry_id, account, known.scope, known.exact, known.normalised, known.signature),
            known.structured,
            None
            if context is None
            else Jsonb({name: list(held) for name, held in context.items()}),
            f"[{','.join(map(str, vector.tolist()))}]",
            *(self._embedder.name, generation_id, choice.model.name, choice.quality, COST),
        )
        return entry_id

    async def hit(
        self, entry_id, account="acme", prompt="The lighthouse", stage="normalised", score=None
    ):
        """Add a generation that an entry has served, not booked yet; return its id."""
        generation_id = await self.made(account, prompt)
        await self.stores.rows(
            "INSERT INTO cache_hit (generation_id, tenant, account, entry_id, source_generation_id,"
            " stage, score_ppm, saved_micros) SELECT %s, split_part(%s, '/', 1), %s, %s, coalesce("
            "(SELECT generation_id FROM cache_entry WHERE entry_id = %s), %s), %s, %s, %s",
            *(generation_id, account, account, entry_id, entry_id, generation_id),
            *(stage, score, COST),
        )
        return generation_id

    async def sample(self, entry_id, stage="guarded", score=930_000):
        """Add a generation that was made as a sample; return its id."""
        generation_id = await self.made(prompt="a lighthouse at noon")
        await self.stores.rows(
            "INSERT INTO cache_sample (generation_id, tenant, account, entry_id,"
            " source_generation_id, stage, score_ppm) VALUES (%s, 'acme', 'acme', %s, %s, %s, %s)",
            *(generation_id, entry_id, generation_id, stage, score),
        )
        return generation_id


@pytest.fixture
async def cached(stubs, generations, stores):
    """A planter of what the cache has, with accounts of two tenants."""
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.account("globex")
    return Cached(stores, generations)


@pytest.fixture
async def cache(authority):
    """A client of the running authority's CacheService."""
    async with CacheClient(f"127.0.0.1:{authority[0].port}", token=TOKEN, timeout=10) as client:
        yield client
