"""Near-duplicates through the whole pipeline: what is said to be saved is what the ledger has.

`make cache-proof` runs it with 2,000 prompts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter

import psycopg
import pytest
from psycopg.rows import dict_row

from authorities import TOKEN
from authority.v1 import cache_service_pb2 as cache
from authority.v1 import cache_service_pb2_grpc
from clients import AdminClient, GenerationClient, Submission
from near_duplicates import Variant, draw_firsts, draw_near
from support import eventually

PROMPTS = int(os.environ.get("PAYMASTER_CACHE_PROMPTS", "200"))
# What one may reuse by default, and one that asked for the guard.
PLAIN, GUARDED = "acme", "globex"
SANDBOX = {"model": "sandbox-image", "quality": "standard", "size": "512x512"}
PRICE = 40_000
SECONDS_MAX = 60 + PROMPTS / 5
_BY_WORDS = {"signature", "guarded"}


@pytest.fixture
async def clients(authority_address):
    """The clients of generations and of the books."""
    async with (
        GenerationClient(authority_address, token=TOKEN, timeout=30) as generations,
        AdminClient(authority_address, token=TOKEN, timeout=30) as admin,
    ):
        yield generations, admin


@pytest.fixture
def cache_stub(stubs):
    """CacheService of the running authority."""
    return cache_service_pb2_grpc.CacheServiceStub(stubs.channel)


@pytest.fixture
async def books(ledger_url):
    """A function that reads rows of the database."""
    async with await psycopg.AsyncConnection.connect(
        ledger_url, autocommit=True, row_factory=dict_row
    ) as connection:

        async def read(statement, *parameters):
            return await (await connection.execute(statement, parameters)).fetchall()

        yield read


@pytest.mark.timeout(SECONDS_MAX * 3)
async def test_what_is_saved_is_in_the_ledger_to_the_micro(
    stubs, cache_stub, make_worker, authority_address, clients, books
):
    generations, admin = clients
    choose = random.Random(PROMPTS)
    for tenant in (PLAIN, GUARDED):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, PRICE * 2 * PROMPTS, window="TOTAL")
        await _set_policy(cache_stub, stubs.metadata, tenant)
    for worker in (make_worker(), make_worker()):
        await worker.start()
    firsts = draw_firsts(PROMPTS * 2 // 5, (PLAIN, GUARDED), choose)
    await _make(generations, books, firsts)
    near = [draw_near(choose.choice(firsts), choose) for _ in range(PROMPTS - len(firsts))]
    await _make(generations, books, near)

    asked = {(item.tenant, item.prompt): item for item in (*firsts, *near)}
    made = await books(
        "SELECT generation.*, hit.stage, hit.saved_micros AS hit_saved,"
        " source.prompt AS source_prompt, source.tenant AS source_tenant,"
        " source.cost_micros AS source_cost"
        " FROM generation LEFT JOIN cache_hit AS hit USING (generation_id)"
        " LEFT JOIN generation AS source ON source.generation_id = hit.source_generation_id"
    )
    assert len(made) == PROMPTS
    assert {row["state"] for row in made} == {"SUCCEEDED"}
    served = [row for row in made if row["cached"]]
    for row in served:
        # Nobody gets what another has made, nor what was not asked for.
        assert row["source_tenant"] == row["tenant"]
        wanted = asked[row["tenant"], row["prompt"]].meaning
        assert asked[row["tenant"], row["source_prompt"]].meaning == wanted
        assert row["stage"] == row["cached"]
        assert row["cost_micros"] == 0
        # What the original really cost, also where it came by way of another that was served.
        assert {row["saved_micros"], row["hit_saved"], row["source_cost"]} == {PRICE}
    _check_stages(made, asked, near)

    # Each call was paid, and nothing else.
    calls = await books("SELECT charged_micros FROM generation_attempt")
    assert [row["charged_micros"] for row in calls] == [PRICE] * (PROMPTS - len(served))
    assert await _all_booked(books)
    hits = await _operations(admin, "CACHE_HIT")
    assert {use.generation_id: use.saved for use in hits} == {
        row["generation_id"]: row["saved_micros"] for row in served
    }
    assert len(hits) == len(served)
    assert await stubs.differences() == []
    await _report_some(cache_stub, stubs, admin, authority_address, served, choose)
    assert await stubs.differences() == []


def _check_stages(made, asked, near):
    """Check that what should be served was, and by which stage at most."""
    served = Counter()
    for row in made:
        item = asked[row["tenant"], row["prompt"]]
        served[row["tenant"], item.variant, row["cached"]] += 1
    for tenant in (PLAIN, GUARDED):
        of_tenant = [row for row in made if row["tenant"] == tenant]
        assert {row["cached"] for row in of_tenant} >= {"exact", "normalised"}
        # Its original was there before any of these was asked for.
        assert not served[tenant, Variant.DRESSED, ""]
        assert sum(row["cached"] in _BY_WORDS for row in of_tenant) == 0 or tenant == GUARDED
    assert sum(served[GUARDED, Variant.REWORDED, stage] for stage in _BY_WORDS) > 0
    again = Counter((item.tenant, item.prompt) for item in near if item.variant is Variant.SAME)
    free = {"exact", "joined"}
    to_the_letter = Counter((row["tenant"], row["prompt"]) for row in made if row["cached"] in free)
    assert all(to_the_letter[key] >= count for key, count in again.items())


async def _report_some(cache_stub, stubs, admin, address, served, choose):
    """Say of some hits that they are wrong: what these have saved is taken back, once."""
    wrong = choose.sample(served, len(served) // 10)
    for row in (*wrong, *wrong):
        request = cache.ReportHitRequest(
            generation_id=row["generation_id"], verdict="CACHE_VERDICT_MISMATCH"
        )
        await cache_stub.ReportHit(request, metadata=stubs.metadata)
    taken_back = await _operations(admin, "CACHE_REVERSAL")
    assert {use.generation_id: use.saved for use in taken_back} == {
        row["generation_id"]: -row["saved_micros"] for row in wrong
    }
    assert len(taken_back) == len(wrong)
    for tenant in (PLAIN, GUARDED):
        stats = await _stats(address, tenant)
        kept = [row for row in served if row["tenant"] == tenant]
        wrong_count = sum(row["tenant"] == tenant for row in wrong)
        joined = sum(row["cached"] == "joined" for row in kept)
        assert (stats["hit_count"], stats["join_count"]) == (len(kept) - joined, joined)
        assert stats["saved"] == sum(row["saved_micros"] for row in kept)
        assert (stats["reversed"], stats["mismatch_count"]) == (PRICE * wrong_count, wrong_count)
        by_stage = Counter(row["cached"] for row in kept)
        assert {stage["stage"]: stage["hit_count"] for stage in stats["stages"]} == by_stage


async def _stats(address, tenant):
    """Return what the command line tells of a tenant."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "paymaster", "cache", "stats", "--tenant", tenant, "--json"),
        env={**os.environ, "PAYMASTER_ADDRESS": address, "PAYMASTER_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(printed)["stats"]


async def _set_policy(cache_stub, metadata, tenant):
    """Let a tenant reuse what its test is about; what is sampled would be made all the same."""
    policy = cache.CachePolicy(sample_ppm=0)
    request = cache.UpdateCachePolicyRequest(account=tenant, policy=policy)
    request.update_mask.paths.append("sample_ppm")
    if tenant == GUARDED:
        request.policy.stages["image"] = "guarded"
        request.update_mask.paths.append("stages")
    await cache_stub.UpdateCachePolicy(request, metadata=metadata)


async def _make(generations, books, asked):
    """Submit all at once, and return when all have ended."""
    submissions = [Submission(item.tenant, item.prompt, **SANDBOX) for item in asked]
    outcomes = await generations.submit_batch(submissions)
    assert [item for item in outcomes if isinstance(item, Exception)] == []

    async def none_open():
        (row,) = await books(
            "SELECT count(*) AS open FROM generation WHERE state IN ('QUEUED', 'RUNNING')"
        )
        return row["open"] == 0

    await eventually(none_open, SECONDS_MAX)


async def _all_booked(books):
    async def none_left():
        (row,) = await books("SELECT count(*) AS open FROM cache_hit WHERE booked_time IS NULL")
        return row["open"] == 0

    return await eventually(none_left, 30)


async def _operations(admin, kind):
    """Return what the ledger says of hits, or of reversals."""
    return [
        entry.cache_use
        for tenant in (PLAIN, GUARDED)
        async for entry in admin.list_ledger_entries(tenant)
        if entry.kind == kind
    ]
