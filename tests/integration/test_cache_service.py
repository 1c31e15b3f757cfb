"""The cache as its owners see and steer it: entries, counts, purges and policies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.types.json import Jsonb

from authorities import TOKEN, new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import cache_service_pb2 as messages
from cached import COST
from clients import (
    CacheField,
    CacheFieldMode,
    CacheStructuredPolicy,
    InvalidRequest,
    Kind,
    NotAllowed,
    NotFound,
)
from clients.sync import SyncCacheClient
from keys import make_key

RECIPE = CacheStructuredPolicy(
    (
        CacheField("cuisine", 40, CacheFieldMode.REQUIRED),
        CacheField("ingredients", 60, CacheFieldMode.JACCARD, 500_000),
        CacheField("note", 0, CacheFieldMode.IGNORE),
    ),
    threshold_ppm=700_000,
)


@pytest.fixture
async def globex(cache, stubs):
    """The cache as a key of another tenant sees it."""
    token = (await make_key(stubs, "globex")).token
    async with type(cache)(cache._address, token=token, timeout=10) as client:
        yield client


async def changes(stubs, method):
    """Return what was recorded of a method, the latest first."""
    request = admin.ListChangesRequest()
    listed = (await stubs.admin.ListChanges(request, metadata=stubs.metadata)).changes
    return [change for change in listed if change.method == method]


async def test_entries_are_listed_searched_and_shown(cached, cache, globex):
    first = await cached.entry(prompt="a red lighthouse")
    second = await cached.entry(prompt="a Blue boat", context={})
    other = await cached.entry("globex", prompt="a red barn")
    hit = await cached.hit(first, account="acme/alice", stage="guarded", score=930_000)
    await cached.hit(first)

    async def found(**fields):
        return [entry.entry_id async for entry in cache.list_entries("acme", **fields)]

    assert await found(page_size=1) == [second, first]
    assert await found(text="RED") == [first]
    assert await found(text="blue BOAT") == [second]
    assert await found(text="%") == []
    assert await found(stage="guarded") == [first]
    assert await found(stage="chat") == []
    assert await found(kind=Kind.CHAT) == []
    assert await found(model="no-such-model") == []
    assert [entry.entry_id async for entry in globex.list_entries("")] == [other]
    detail = await cache.get_entry(first)
    assert (detail.entry.prompt, detail.entry.cost) == ("a red lighthouse", COST)
    assert (detail.entry.hit_count, detail.entry.saved) == (2, 2 * COST)
    shown = detail.hits[1]
    assert (shown.generation_id, shown.account) == (hit, "acme/alice")
    assert (shown.stage, shown.score_ppm, shown.saved) == ("guarded", 930_000, COST)
    assert shown.book_time is None
    for call in (globex.get_entry(first), globex.purge(entry_id=first)):
        with pytest.raises(NotAllowed):
            await call
    with pytest.raises(NotAllowed):
        [entry async for entry in globex.list_entries("acme")]
    with pytest.raises(NotFound):
        await cache.get_entry(f"acme/{new_key()}")
    with pytest.raises(InvalidRequest):
        [entry async for entry in cache.list_entries("")]
    with pytest.raises(InvalidRequest):
        await found(stage="nearly")


async def test_an_entry_with_long_hits_is_shown_to_clients_of_any_make(cached, cache):
    entry_id = await cached.entry()
    hits = [await cached.hit(entry_id, prompt="猫" * 32_000) for _ in range(43)]
    shown = (await cache.get_entry(entry_id)).hits
    # gRPC takes 4 MiB, unless told otherwise.
    assert [hit.generation_id for hit in shown] == hits[:10:-1]


async def test_an_entry_that_has_expired_is_not_shown(cached, cache, stores):
    entry_id = await cached.entry()
    await stores.rows("UPDATE cache_entry SET expire_time = now() - interval '1 second'")
    assert [entry async for entry in cache.list_entries("acme")] == []
    with pytest.raises(NotFound):
        await cache.get_entry(entry_id)


async def test_counts_are_those_of_a_recount(cached, cache, globex, stores):
    first, second = await cached.entry(), await cached.entry(prompt="a boat")
    other = await cached.entry("globex")
    wrong = await cached.hit(first, stage="guarded", score=930_000)
    right = await cached.hit(first, stage="guarded", score=990_000)
    await cached.hit(second, "acme/alice", stage="exact")
    await cached.hit(None, stage="joined")
    await cached.hit(other, "globex")
    await cached.sample(first)
    await cache.report(wrong, match=False)
    await cache.report(right, match=True)
    await stores.rows(
        "UPDATE generation SET lookup = %s WHERE generation_id = %s",
        Jsonb({"tried": ["exact"], "skipped": {"guarded": "no_embedder", "chat": "failed"}}),
        wrong,
    )
    stats = await cache.stats(tenant="acme")
    (looked_up,) = await stores.rows(
        "SELECT count(*) AS count FROM generation WHERE looked_up AND tenant = 'acme'"
    )
    assert stats.lookup_count == looked_up["count"]
    assert (stats.hit_count, stats.join_count) == (3, 1)
    assert stats.hit_rate_ppm == 3 * 1_000_000 // stats.lookup_count
    assert (stats.saved, stats.reversed) == (4 * COST, COST)
    assert (stats.match_count, stats.mismatch_count) == (1, 1)
    assert (stats.sample_count, stats.judged_sample_count) == (1, 0)
    assert [(stage.stage, stage.hit_count) for stage in stats.stages] == [
        *(("exact", 1), ("guarded", 2), ("joined", 1))
    ]
    assert {(skip.stage, skip.reason, skip.count) for skip in stats.skips} == {
        *(("guarded", "no_embedder", 1), ("chat", "failed", 1))
    }
    assert [(use.entry_id, use.hit_count, use.saved) for use in stats.top_entries] == [
        *((first, 2, COST), (second, 1, COST))
    ]
    assert stats.top_entries[0].prompt == "a lighthouse"
    assert [(found.bin, found.match_count, found.open) for found in stats.bins] == [
        *((18, 0, False), (19, 1, True))
    ]
    assert all(0 < found.bound_ppm < 20_000 for found in stats.bins)
    assert stats.entry_count == 2
    await cache.update_policy("acme", max_error_ppm=100_000)
    assert all(found.open for found in (await cache.stats(tenant="acme")).bins)

    below = await cache.stats(account="acme/alice")
    assert (below.hit_count, below.join_count, below.bins) == (1, 0, ())
    assert (await cache.stats()).hit_count == 4
    assert (await globex.stats()).hit_count == 1
    assert (await globex.stats()).top_entries[0].entry_id == other
    soon = datetime.now(UTC) + timedelta(hours=1)  # noqa: TID251
    nothing = await cache.stats(tenant="acme", start_time=soon)
    assert (nothing.lookup_count, nothing.hit_count, nothing.hit_rate_ppm) == (0, 0, 0)
    assert (await cache.stats(tenant="acme", end_time=soon)).hit_count == 3
    with pytest.raises(NotAllowed):
        await globex.stats(account="acme")
    with pytest.raises(NotFound):
        await cache.stats(account="acme/nobody")
    with pytest.raises(InvalidRequest):
        await cache.stats(start_time=soon, end_time=soon)


async def test_a_purge_removes_what_fits_and_is_recorded(cached, cache, globex, stubs, stores):
    first, second = await cached.entry(), await cached.entry(prompt="a boat")
    other = await cached.entry("globex")
    await stores.rows(
        "UPDATE cache_entry SET create_time = now() - interval '2 days' WHERE entry_id = %s", first
    )
    (model,) = {entry.model async for entry in cache.list_entries("acme")}
    assert await cache.purge(tenant="acme", model="no-such-model") == 0
    assert await cache.purge(model=model, dry_run=True) == 3
    assert await cache.purge(older_than=timedelta(days=1), dry_run=True) == 1
    recorded = len(await changes(stubs, "PurgeCache"))
    assert await cache.purge(older_than=timedelta(days=1), reason="too old") == 1
    assert [entry.entry_id async for entry in cache.list_entries("acme")] == [second]
    latest, *older = await changes(stubs, "PurgeCache")
    assert len(older) == recorded
    assert latest.reason == "too old"
    assert '"entry_count":1' in latest.after
    # A key of a tenant purges its own.
    assert await globex.purge() == 1
    assert await cache.purge(entry_id=second) == 1
    for entry_id in (first, second, other):
        with pytest.raises(NotFound):
            await cache.get_entry(entry_id)
    assert len(await stores.rows("SELECT * FROM generation")) == 3
    with pytest.raises(InvalidRequest):
        await cache.purge(older_than=timedelta(0))
    with pytest.raises(InvalidRequest):
        await cache.purge(tenant="globex", entry_id=first)


async def test_the_nearest_policy_counts(cached, cache, stubs):
    policy = await cache.get_policy("acme/alice")
    assert (policy.enabled, policy.source_account, policy.structured) == (True, "", None)
    assert policy.stages == {"image": "normalised", "chat": "exact", "video": "normalised"}
    assert policy.ttl["chat"] == timedelta(hours=24)
    await cache.update_policy("acme", stages={"image": "guarded"}, reason="we try it")
    policy = await cache.get_policy("acme/alice")
    assert (policy.source_account, policy.stages["image"]) == ("acme", "guarded")
    assert policy.stages["video"] == "normalised"
    own = await cache.update_policy(
        "acme/alice", structured=RECIPE, ttl={"image": timedelta(hours=1)}, enabled=False
    )
    assert (own.source_account, own.enabled, own.structured) == ("acme/alice", False, RECIPE)
    assert (own.stages["image"], own.ttl["image"]) == ("guarded", timedelta(hours=1))
    assert (await cache.get_policy("acme")).enabled
    own = await cache.update_policy("acme/alice", structured=CacheStructuredPolicy())
    assert own.structured is None
    reset = await cache.reset_policy("acme/alice")
    assert reset == await cache.get_policy("acme/alice")
    assert (reset.source_account, reset.ttl["image"]) == ("acme", timedelta(days=30))
    recorded = await changes(stubs, "UpdateCachePolicy")
    assert [change.resource for change in recorded] == ["acme/alice"] * 3 + ["acme"]
    assert recorded[-1].reason == "we try it"


async def test_the_sync_client_reads_the_same(cached, cache):
    entry_id = await cached.entry()

    def read():
        with SyncCacheClient(cache._address, token=TOKEN) as client:
            listed = [entry.entry_id for entry in client.list_entries("acme")]
            return listed, client.get_policy("acme")

    assert await asyncio.to_thread(read) == ([entry_id], await cache.get_policy("acme"))


async def test_a_policy_is_checked_field_by_field(cached, cache, globex):
    wrong = {
        "policy.stages.image": {"stages": {"image": "nearly"}},
        "policy.stages.music": {"stages": {"music": "exact"}},
        "policy.ttl.chat": {"ttl": {"chat": timedelta(days=4000)}},
        "policy.max_error_ppm": {"max_error_ppm": 1_000_001},
        "policy.sample_ppm": {"sample_ppm": -1},
        "policy.structured.fields": {
            "structured": CacheStructuredPolicy((CacheField("a", 1, bound_ppm=1),))
        },
        "policy.structured.fields[0].weight": {
            "structured": CacheStructuredPolicy((CacheField("a", 0, CacheFieldMode.REQUIRED),))
        },
    }
    for field, change in wrong.items():
        with pytest.raises(InvalidRequest) as refused:
            await cache.update_policy("acme", **change)
        assert [violation.field for violation in refused.value.violations] == [field]
    assert (await cache.get_policy("acme")).source_account == ""
    with pytest.raises(InvalidRequest) as refused:
        await cache.update_policy("acme")
    assert refused.value.violations[0].field == "update_mask"
    request = messages.UpdateCachePolicyRequest(account="acme", reset=True)
    request.policy.enabled = True
    with pytest.raises(InvalidRequest, match="reset"):
        await cache._call(cache._stub.UpdateCachePolicy, request)
    with pytest.raises(NotAllowed):
        await globex.update_policy("acme", enabled=False)
    with pytest.raises(NotAllowed):
        await globex.get_policy("acme")
    with pytest.raises(NotFound):
        await cache.update_policy("acme/nobody", enabled=False)
