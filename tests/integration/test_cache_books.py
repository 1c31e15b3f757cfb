"""What the cache has saved, in the books: hits, reports, and what is booked back, once."""

from __future__ import annotations

import asyncio

import pytest

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import cache_service_pb2 as messages
from authority.v1 import cache_service_pb2_grpc
from cached import COST
from clients import (
    CacheEntryStatus,
    CacheVerdict,
    GenerationStateError,
    HitBooking,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    NotAllowed,
    NotFound,
)
from keys import make_key, with_key
from refusals import invalid


async def entries_of(stubs, account="acme"):
    """Return the ledger's entries of an account."""
    request = admin.ListLedgerEntriesRequest(account=account)
    return list((await stubs.admin.ListLedgerEntries(request, metadata=stubs.metadata)).entries)


def booking(generation_id, entry_id="", **fields):
    """Return a hit to be booked."""
    fields = {"stage": "normalised", "saved": COST, "account": "acme", **fields}
    return HitBooking(generation_id=generation_id, entry_id=entry_id, **fields)


async def test_hits_are_booked_once_and_charge_nothing(cached, cache, stubs, core):
    entry_id = await cached.entry()
    hits = [
        booking(await cached.hit(entry_id), entry_id),
        booking(await cached.hit(entry_id), entry_id, stage="guarded", score_ppm=912_345),
        booking(await cached.made(), stage="joined", account="acme/alice"),
    ]
    first = await cache.book_hits(hits)
    again = await cache.book_hits(hits)
    assert [hit.replayed for hit in first] == [False] * 3
    assert [hit.replayed for hit in again] == [True] * 3
    assert [hit.operation_id for hit in first] == [hit.operation_id for hit in again]
    assert [hit.create_time for hit in first] == [hit.create_time for hit in again]
    listed = {entry.operation_id: entry for entry in await entries_of(stubs)}
    for hit, booked in zip(hits, first, strict=True):
        entry = listed[booked.operation_id]
        assert (entry.kind, entry.book, entry.amount) == ("CACHE_HIT", "CHARGED", 0)
        assert entry.account == hit.account
        assert entry.idempotency_key == hit.idempotency_key
        used = entry.cache_use
        assert (used.generation_id, used.entry_id) == (hit.generation_id, hit.entry_id)
        assert (used.stage, used.saved) == (hit.stage, COST)
        assert (used.score_ppm if used.HasField("score_ppm") else None) == hit.score_ppm
    assert await stubs.differences() == []
    # The hot state is made anew from a ledger that has them, and they are still known.
    await stubs.admin.Rebuild(admin.RebuildRequest(), metadata=stubs.metadata)
    assert [hit.replayed for hit in await cache.book_hits(hits)] == [True] * 3
    assert len(await entries_of(stubs)) == 3
    assert await stubs.differences() == []


async def test_hits_move_no_balance_and_no_policy(cached, cache, stubs, core):
    await stubs.set_budget("acme", 1_000_000, name="usd")
    before = await stubs.balance("acme")
    version = (await core.ledger.policy("acme")).version
    await cache.book_hits([booking(await cached.made(), stage="joined")])
    assert await stubs.balance("acme") == before
    # Nor that of an earlier time, which is counted back from now over the entries since.
    request = budget.GetBalanceRequest(account="acme")
    request.as_of_time.GetCurrentTime()
    request.as_of_time.seconds -= 1
    past = await stubs.budget.GetBalance(request, metadata=stubs.metadata)
    assert [row.committed for row in past.balances] in ([], [0])
    assert (await core.ledger.policy("acme")).version == version


async def test_each_hit_is_refused_by_itself(cached, cache):
    entry_id, generation_id = await cached.entry(), await cached.made()
    other = await cached.entry("globex")
    good = booking(generation_id, entry_id)
    bad = [
        booking(generation_id, entry_id, stage="nearly"),
        booking(generation_id, entry_id, stage="joined"),
        booking(generation_id),
        booking(generation_id, other),
        booking(generation_id, entry_id, saved=-1),
        booking(generation_id, entry_id, score_ppm=1_000_001),
        booking("acme", entry_id),
    ]
    missing = booking(generation_id, entry_id, account="acme/nobody")
    reused = booking(generation_id, entry_id, saved=1, idempotency_key=good.idempotency_key)
    done, *refusals, unknown = await cache.book_hits([good, *bad, missing])
    assert not done.replayed
    fields = [refusal.violations[0].field for refusal in refusals]
    assert fields == [
        *("stage", "entry_id", "entry_id", "entry_id", "saved", "score_ppm", "generation_id")
    ]
    assert all(isinstance(refusal, InvalidRequest) for refusal in refusals)
    assert isinstance(unknown, NotFound)
    (refusal,) = await cache.book_hits([reused])
    assert isinstance(refusal, IdempotencyKeyReused)
    with pytest.raises(InvalidRequest):
        await cache._call(cache._stub.BookHits, messages.BookHitsRequest())


async def test_a_mismatch_is_booked_back_once(cached, cache, stubs, stores):
    entry_id = await cached.entry()
    hit = await cached.hit(entry_id, stage="guarded", score=930_000)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(cache.report(hit, match=False, reason="not mine")) for _ in range(8)
        ]
    reports = [task.result() for task in tasks]
    assert sum(not report.replayed for report in reports) == 1
    for report in reports:
        assert (report.reversed, report.strike_count) == (COST, 1)
        assert report.entry_status is CacheEntryStatus.ACTIVE
        assert report.hit.verdict is CacheVerdict.MISMATCH
        assert report.hit.reverse_time is not None
        assert report.hit.book_time is not None
    kinds = [(entry.kind, entry.cache_use.saved) for entry in await entries_of(stubs)]
    assert kinds == [("CACHE_HIT", COST), ("CACHE_REVERSAL", -COST)]
    assert len(await stores.rows("SELECT * FROM cache_mismatch")) == 1
    (seen,) = await stores.rows("SELECT * FROM cache_bin")
    assert (seen["stage"], seen["bin"]) == ("guarded", 18)
    assert (seen["matches"], seen["mismatches"]) == (0, 1)
    with pytest.raises(GenerationStateError, match="first one stands"):
        await cache.report(hit, match=True)
    # A worker that books late is told what was booked.
    late = booking(hit, entry_id, stage="guarded", score_ppm=930_000, idempotency_key=f"hit:{hit}")
    assert [found.replayed for found in await cache.book_hits([late])] == [True]
    assert await stubs.differences() == []
    (change,) = await stores.rows("SELECT * FROM admin_audit WHERE method = 'ReportHit'")
    assert (change["resource"], change["reason"]) == (hit, "not mine")


async def test_two_strikes_make_an_entry_exact_only(cached, cache):
    entry_id = await cached.entry()
    first, second = await cached.hit(entry_id), await cached.hit(entry_id, prompt="A Lighthouse")
    assert (await cache.report(first, match=False)).entry_status is CacheEntryStatus.ACTIVE
    report = await cache.report(second, match=False)
    assert (report.strike_count, report.entry_status) == (2, CacheEntryStatus.EXACT_ONLY)
    entry = (await cache.get_entry(entry_id)).entry
    assert (entry.status, entry.hit_count, entry.saved) == (CacheEntryStatus.EXACT_ONLY, 2, 0)


async def test_a_match_counts_and_reverses_nothing(cached, cache, stubs, stores):
    entry_id = await cached.entry()
    hit = await cached.hit(entry_id, stage="guarded", score=990_000)
    report = await cache.report(hit, match=True)
    assert (report.reversed, report.strike_count, report.replayed) == (0, 0, False)
    assert (await cache.report(hit, match=True)).replayed
    (seen,) = await stores.rows("SELECT * FROM cache_bin")
    assert (seen["matches"], seen["mismatches"]) == (1, 0)
    assert await entries_of(stubs) == []


async def test_an_entry_that_was_chosen_gets_no_strike(cached, cache, stores):
    entry_id = await cached.entry()
    hit = await cached.hit(entry_id, stage="accepted")
    report = await cache.report(hit, match=False)
    assert (report.reversed, report.strike_count) == (COST, 0)
    assert len(await stores.rows("SELECT * FROM cache_mismatch")) == 1
    assert await stores.rows("SELECT * FROM cache_bin") == []


async def test_a_hit_outlives_its_entry(cached, cache):
    entry_id = await cached.entry()
    hit = await cached.hit(entry_id)
    joined = await cached.hit(None, stage="joined")
    assert await cache.purge(entry_id=entry_id) == 1
    report = await cache.report(hit, match=False)
    assert (report.reversed, report.entry_status) == (COST, CacheEntryStatus.NONE)
    assert (await cache.report(joined, match=False)).reversed == COST


async def test_samples_are_judged(cached, cache, stubs, stores):
    entry_id = await cached.entry()
    good, bad = await cached.sample(entry_id), await cached.sample(entry_id)
    report = await cache.report(good, match=True)
    assert (report.hit.sampled, report.reversed) == (True, 0)
    report = await cache.report(bad, match=False)
    assert (report.reversed, report.strike_count) == (0, 1)
    (seen,) = await stores.rows("SELECT * FROM cache_bin")
    assert (seen["matches"], seen["mismatches"]) == (1, 1)
    assert await entries_of(stubs) == []


async def test_what_was_not_served_by_the_cache_is_refused(cached, cache):
    with pytest.raises(GenerationStateError, match="not served by the cache"):
        await cache.report(await cached.made(), match=False)
    with pytest.raises(NotFound):
        await cache.report(f"acme/{new_key()}", match=False)
    with pytest.raises(InvalidRequest):
        await cache.report("acme", match=False)


async def _dies(*_arguments):
    raise RuntimeError("the process is gone")


async def test_what_is_left_undone_is_booked_back_later(cached, cache, stubs, core, monkeypatch):
    """Whoever takes a report dies after each step in turn; the rest is done once, by the next."""
    store = core.caching.context.cache
    entry_id = await cached.entry()
    for step in ("mark_booked", "mark_reversed"):
        hit = await cached.hit(entry_id)
        with monkeypatch.context() as patched:
            patched.setattr(type(store), step, _dies)
            with pytest.raises(InternalError):
                await cache.report(hit, match=False)
        assert (await store.hit(hit)).is_to_reverse
        await core.caching.reversals.settle()
        assert not (await store.hit(hit)).is_to_reverse
        assert await core.caching.reversals.settle() == 0
        kinds = [
            (entry.kind, entry.cache_use.saved)
            for entry in await entries_of(stubs)
            if entry.cache_use.generation_id == hit
        ]
        assert kinds == [("CACHE_HIT", COST), ("CACHE_REVERSAL", -COST)]
    assert await stubs.differences() == []


async def test_workers_keys_book_and_users_keys_report(cached, cache, stubs):
    entry_id = await cached.entry()
    hit = await cached.hit(entry_id)
    stub = cache_service_pb2_grpc.CacheServiceStub(stubs.channel)
    spender = await with_key(stubs, "acme", ["SPEND"])
    request = messages.BookHitRequest(
        idempotency_key=new_key(), account="acme", generation_id=hit, entry_id=entry_id,
        stage="normalised", saved=COST,
    )  # fmt: skip
    answer = await stub.BookHits(
        messages.BookHitsRequest(requests=[request]), metadata=spender.metadata
    )
    assert answer.results[0].response.operation_id
    token = (await make_key(stubs, "globex", ["SUBMIT", "READ"])).token
    async with type(cache)(cache._address, token=token) as other:
        with pytest.raises(NotAllowed):
            await other.report(hit, match=False)
        with pytest.raises(NotAllowed):
            await other.book_hits([booking(hit, entry_id)])
    fields = await invalid(
        stub.ReportHit(messages.ReportHitRequest(generation_id=hit), metadata=stubs.metadata)
    )
    assert fields == ["verdict"]
