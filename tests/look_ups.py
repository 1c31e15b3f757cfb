"""Fixtures of tests of the similarity cache: generations that are made, and looked up."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from authorities import new_key
from generations.artifacts import ArtifactStore
from similarity.embedders.wordllama import wordllama
from workers.cache.cache import SimilarityCache
from workers.cache.embeddings import Embeddings
from workers.cache.rows import Served
from workers.cache.store import CacheStore
from workers.database import make_pool
from workers.rows import Answer, Artifact, AttemptState, End, EndState, Option, Settlement
from workers.store import WorkStore

LEASE_S = 30.0
COST = 70_000
# Many tests share the machine.
SLOW_S = 10.0
ALL = {"deepest": {"image": "guarded", "chat": "guarded", "video": "guarded"}, "sample_ppm": 0}


class LookUps:
    """The cache of one database, with its artifacts in a folder."""

    def __init__(self, url, pool, store, artifacts, embedder) -> None:
        self.url = url
        self.work = WorkStore(pool)
        self.store = store
        self.artifacts = artifacts
        self.cache = SimilarityCache(store, artifacts, Embeddings(embedder, seconds_max=SLOW_S))

    def with_embedder(self, embedder, *, seconds_max=SLOW_S, store=None):
        """Return a cache of the same entries that has another embedder, or another store."""
        embeddings = Embeddings(embedder, seconds_max=seconds_max)
        return SimilarityCache(store or self.store, self.artifacts, embeddings)

    async def execute(self, statement, *parameters):
        """Run a statement; return its rows."""
        async with await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def policy(self, account="acme", **fields):
        """Set the policy of an account."""
        await self._account(account)
        await self.execute(
            "INSERT INTO cache_policy (account, tenant, policy) VALUES (%s, %s, %s)"
            " ON CONFLICT (account) DO UPDATE SET policy = excluded.policy",
            account,
            account.partition("/")[0],
            Jsonb(fields),
        )

    async def claim(self, prompt, account="acme", kind="image", **fields):
        """Submit a generation and claim it."""
        await self._account(account)
        generation_id = f"{account.partition('/')[0]}/{new_key()}"
        values = {
            "generation_id": generation_id,
            "tenant": account.partition("/")[0],
            "account": account,
            "idempotency_key": generation_id,
            "kind": kind,
            "prompt": prompt,
            "requested_model": "",
            "size": "1024x1024",
            "quality": "premium",
            "count": 1,
            **{
                name: Jsonb(value) if isinstance(value, dict) else value
                for name, value in fields.items()
            },
        }
        await self.execute(
            f"INSERT INTO generation ({', '.join(values)})"
            f" VALUES ({', '.join(['%s'] * len(values))})",
            *values.values(),
        )
        return await self.work.claim(generation_id, "worker", LEASE_S)

    async def make(self, prompt, *, model="m", text=b"an image", cost=COST, **fields):
        """Make a generation, and keep it; return its id."""
        claim = await self.claim(prompt, **fields)
        await self.finish(claim, model=model, text=text, cost=cost)
        return claim.generation_id

    async def finish(self, claim, *, model="m", text=b"an image", cost=COST, looked=None):
        """Make what is claimed, and keep it."""
        option = Option("p", model, "premium", 80_000)
        attempt = await self.work.begin_attempt(claim, [option], looked)
        attempt = await self.work.write_dispatch(
            claim, attempt, option_index=0, reservation_id="acme/r"
        )
        is_chat = claim.request.kind == "chat"
        stored = await self.artifacts.put(
            claim.tenant,
            claim.generation_id,
            0,
            text,
            "text/plain" if is_chat else "image/png",
            datetime(2026, 11, 21, tzinfo=UTC),
        )
        made = Artifact(stored.path, "image/png", stored.size_bytes, stored.sha256)
        attempt = await self.work.write_answer(claim, attempt, Answer(cost, 1, (made,)))
        await self.work.finish(
            claim,
            End(state=EndState.SUCCEEDED, provider="p", model=model),
            settled=Settlement(attempt, AttemptState.COMMITTED, cost),
            entry=await self.cache.entry(claim, option, cost),
        )

    async def look(self, prompt, *, model="m", quality="premium", cache=None, **fields):
        """Submit a generation and look it up; return its stage, the hit and the look-up."""
        claim = await self.claim(prompt, **fields)
        return await self.look_for(claim, model=model, quality=quality, cache=cache)

    async def look_for(self, claim, *, model="m", quality="premium", cache=None):
        """Look up what is claimed; return its stage, the hit and the look-up."""
        cache = cache or self.cache
        policy, stages = await cache.allowed(claim)
        if not stages:
            return "", None, None
        option = Option("p", model, quality, 80_000)
        hit, looked = await cache.find(claim, option, policy, stages)
        return (hit.candidate.stage if hit else ""), hit, looked

    async def serve(self, claim, hit, looked):
        """End a generation with a hit."""
        end = End(
            state=EndState.SUCCEEDED,
            provider=hit.provider,
            model=hit.model,
            cached=hit.candidate.stage,
            saved_micros=hit.candidate.cost_micros,
            artifacts=hit.artifacts,
        )
        await self.work.finish(claim, end, served=Served(hit, looked.report))

    async def _account(self, account):
        tenant = account.partition("/")[0]
        await self.execute("INSERT INTO tenant (tenant) VALUES (%s) ON CONFLICT DO NOTHING", tenant)
        for name, parent in ((tenant, "platform"), (account, tenant)):
            await self.execute(
                "INSERT INTO account VALUES (%s, %s, %s, '', 'UTC', 'ACTIVE', 'AVAILABLE', now())"
                " ON CONFLICT DO NOTHING",
                name,
                tenant,
                parent,
            )


@pytest.fixture(scope="session")
def embedder():
    """The default embedder; its weights are loaded once."""
    return wordllama()


@pytest.fixture
async def look_ups(ledger_url, tmp_path, embedder):
    """The cache of an empty database."""
    pool = make_pool(ledger_url, size_max=8)
    await pool.open()
    artifacts = ArtifactStore(str(tmp_path / "artifacts"))
    yield LookUps(ledger_url, pool, await CacheStore.open(pool), artifacts, embedder)
    await pool.close()
