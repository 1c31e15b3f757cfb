"""No look-up is ever served what another tenant, or another scope, has had made.

`make cache-proof` does 100,000 look-ups.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from authorities import new_key
from generations.models import Kind
from generations.requests import GenerationRequest
from generations.settings import Settings
from similarity.embedders.wordllama import wordllama
from similarity.policy import CachePolicy, Stage
from similarity.scope import fingerprint
from similarity.stages import allowed_stages, possible_stages
from similarity.structured import Field, Mode, StructuredPolicy
from workers.cache.cascade import Cascade
from workers.cache.embeddings import Embeddings
from workers.cache.rows import Entry, Report, Search
from workers.cache.store import CacheStore
from workers.cache.writes import write_entry
from workers.database import make_pool, transaction
from workers.main import now
from workers.rows import Claim, Wish

LOOKUPS = int(os.environ.get("PAYMASTER_CACHE_LOOKUPS", "2000"))
PER_EXAMPLE = 50

# Tenants that a comparison of less than the whole would take for each other.
TENANTS = ("acme", "acme2", "ACME", "a")
ACCOUNTS = tuple(f"{tenant}{below}" for tenant in TENANTS for below in ("", "/acme"))
PROMPTS = (
    "a red fox in the snow",
    "Please make a picture of a red fox in the snow!",
    "A RED FOX IN THE SNOW",
    "a blue fox in the snow",
    "a red lighthouse by the sea",
    "a red lighthuose by the sea",
    "a red sofa by the sea",
    "a red couch by the sea",
    "two red sofas by the sea",
    "ein roter Fuchs im Schnee",
)
CONTEXTS = (
    {"dish": ("pho",), "with": ("rice noodles", "basil")},
    {"dish": ("pho",), "with": ("rice noodles", "basil", "lime")},
    {"dish": ("ramen",), "with": ("basil",)},
)
SERVING = (Stage.EXACT, Stage.NORMALISED, Stage.SIGNATURE, Stage.GUARDED, Stage.STRUCTURED, None)
# The deepest that there is for anybody.
POLICY = CachePolicy(
    deepest=dict.fromkeys(Kind, Stage.GUARDED),
    structured=StructuredPolicy(
        (Field("dish", 60, Mode.REQUIRED), Field("with", 40, Mode.JACCARD, 500_000)), 700_000
    ),
    sample_ppm=0,
)
REQUEST = st.builds(
    GenerationRequest,
    account=st.sampled_from(ACCOUNTS),
    kind=st.sampled_from([*[Kind.IMAGE] * 4, Kind.VIDEO]),
    prompt=st.sampled_from(PROMPTS),
    model=st.just(""),
    size=st.sampled_from([*["512x512"] * 3, "1024x1024"]),
    quality=st.just("standard"),
    count=st.sampled_from([1, 1, 1, 2]),
    settings=st.sampled_from([*[Settings()] * 4, Settings(style="photo"), Settings(seed=7)]),
)
ASKED = st.tuples(
    REQUEST, st.sampled_from([*[None] * 5, *CONTEXTS]), st.sampled_from(["m", "m", "m", "n"])
)


class World:
    """What was kept, by the generation that it was made for, and look-ups that check themselves."""

    def __init__(self, pool, store, embeddings):
        self.pool = pool
        self.store = store
        self.made = {}
        self.served = Counter()
        self._cascade = Cascade(store, embeddings)
        self._embeddings = embeddings

    def known(self, request, context, model, stages):
        """Return what a request is known by."""
        return fingerprint(
            request,
            model=model,
            quality="standard",
            stages=stages,
            embedder=self._embeddings.name,
            context=context,
            structured=POLICY.structured,
        )

    async def keep(self, request, context, model):
        """Keep what was made for a request, as a worker does."""
        stages = possible_stages(request, has_context=context is not None)
        tenant = request.account.partition("/")[0]
        claim = Claim(f"{tenant}/{new_key()}", 0, request, now(), 0, (), wish=Wish(context=context))
        known = self.known(request, context, model, stages)
        entry = Entry(
            known,
            "standard",
            40_000,
            timedelta(days=1),
            context if known.structured else None,
            await self._embeddings.vector(request.account, "", request.prompt),
            self._embeddings.name,
        )
        async with transaction(self.pool) as connection:
            await connection.execute(
                "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind,"
                " prompt, requested_model, size, quality, count, state, end_time)"
                " VALUES (%s, %s, %s, %s, %s, %s, '', %s, 'standard', %s, 'SUCCEEDED', now())",
                [
                    *(claim.generation_id, tenant, request.account, claim.generation_id),
                    *(request.kind, request.prompt, request.size, request.count),
                ],
            )
            await write_entry(connection, claim, entry, model=model)
        self.made[claim.generation_id] = (request, model)

    async def look_up(self, request, context, model):
        """Look a request up as deep as there is, and check what would serve it."""
        stages = allowed_stages(request, POLICY, has_context=context is not None)
        known = self.known(request, context, model, stages)
        search = Search(new_key(), request, known, stages, POLICY, context)
        looked = await self._cascade.look_up(search, Report())
        assert looked.report.skipped.keys() <= {Stage.GUARDED, Stage.SIGNATURE}
        if looked.found is None:
            self.served[None] += 1
            return
        source, made_by = self.made[looked.found.source_id]
        assert looked.found.source_id.partition("/")[0] == request.account.partition("/")[0]
        assert made_by == model
        same = {"prompt": source.prompt, "account": source.account}
        assert replace(request, **same) == source, "all else is equal"
        if looked.found.stage == Stage.EXACT:
            assert source.prompt == request.prompt
        self.served[looked.found.stage] += 1


@pytest.fixture
async def world(ledger_url):
    """A database in which every account has been made, and nothing was kept."""
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        for tenant in TENANTS:
            await connection.execute("INSERT INTO tenant (tenant) VALUES (%s)", [tenant])
        for account in ACCOUNTS:
            await connection.execute(
                "INSERT INTO account VALUES"
                " (%s, %s, 'platform', '', 'UTC', 'ACTIVE', 'CAP', now())",
                [account, account.partition("/")[0]],
            )
    async with make_pool(ledger_url, size_max=2) as pool:
        embeddings = Embeddings(wordllama(), seconds_max=5)
        await embeddings.warm_up()
        yield World(pool, await CacheStore.open(pool), embeddings)


@pytest.fixture
def tried_world(world):
    """The same; in the end each way to be served was tried, and so was not to be."""
    yield world
    assert all(world.served[stage] for stage in SERVING), world.served


@pytest.mark.timeout(0)  # as long as it takes
@given(
    kept=st.lists(ASKED, max_size=8),
    asked=st.lists(ASKED, min_size=PER_EXAMPLE, max_size=PER_EXAMPLE),
)
@settings(
    max_examples=max(LOOKUPS // PER_EXAMPLE, 1),
    deadline=None,
    derandomize="PAYMASTER_CACHE_LOOKUPS" not in os.environ,
    # What was kept before has its part in a failure, so that it can't be made smaller.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
async def test_no_look_up_crosses(tried_world, kept, asked):
    for item in kept:
        await tried_world.keep(*item)
    for item in asked:
        await tried_world.look_up(*item)


async def test_a_statement_that_names_no_tenant_sees_but_one(world):
    for tenant in TENANTS:
        await world.keep(GenerationRequest(tenant, Kind.IMAGE, "a fox", "", "", "", 1), None, "m")
    for tenant in TENANTS:
        async with world.store._of_tenant(tenant) as connection:
            cursor = await connection.execute("SELECT tenant FROM cache_entry")
            assert [row["tenant"] for row in await cursor.fetchall()] == [tenant]
