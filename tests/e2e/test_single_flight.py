"""Identical generations in flight are joined: one call, one charge, whoever dies."""

from __future__ import annotations

import asyncio
import hashlib
import signal

import pytest

from authorities import TOKEN
from authority.usecases.generations import cancel_generation
from clients import AdminClient
from generating import read_generation, state
from pipelines import Fate
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}

pytestmark = pytest.mark.usefixtures("funded")


async def submit_many(generations, count, **fields):
    """Submit the same so often, as many at once as wait well for Postgres; return the ids."""
    places = asyncio.Semaphore(32)

    async def submit():
        async with places:
            return await generations.submit(**fields)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(submit()) for _ in range(count)]
    return [task.result().generation.generation_id for task in tasks]


async def all_ended(generations, ids, seconds=60):
    """Return generations once all have ended."""
    return [await generations.ended(generation_id, seconds) for generation_id in ids]


@pytest.fixture
def followers(ledger_url):
    """A function that returns how many of the ids wait for another generation."""

    async def count(ids):
        rows = [await read_generation(ledger_url, found, "leader_id") for found in ids]
        return sum(leader is not None for (leader,) in rows)

    return count


@pytest.fixture
async def operations(authority_address):
    """A function that returns the ledger's operations of a kind, each as its entries."""
    async with AdminClient(authority_address, token=TOKEN, timeout=30) as admin:

        async def read(kind):
            found = {}
            async for entry in admin.list_ledger_entries("acme"):
                if entry.kind == kind:
                    found.setdefault(entry.operation_id, []).append(entry)
            return list(found.values())

        yield read


async def test_two_hundred_at_once_are_one_call_and_one_charge(
    generations, make_worker, emulator, spent, operations
):
    for worker in (make_worker(), make_worker()):
        await worker.start()
    await emulator.order("openai", "latency", seconds=3)
    ids = await submit_many(generations, 200, **OPENAI)
    made = await all_ended(generations, ids)
    assert {state(found) for found in made} == {"SUCCEEDED"}
    (call,) = await emulator.calls(provider="openai")
    (leader,) = [found for found in made if found.cached == ""]
    others = [found for found in made if found is not leader]
    assert leader.cost == call.billed_micros == await spent()
    # Those that came to a worker after the leader's end were in the cache.
    assert {found.cached for found in others} <= {"joined", "exact"}
    assert sum(found.cached == "joined" for found in others) > 100
    for found in others:
        assert (found.cost, found.saved, found.attempt_count) == (0, leader.cost, 0)
        assert (found.provider, found.model) == (leader.provider, leader.model)
        assert [a.sha256 for a in found.artifacts] == [a.sha256 for a in leader.artifacts]
    # One operation has charged; each of the others is in the ledger, for nothing.
    assert [len(await operations(kind)) for kind in ("RESERVE", "COMMIT")] == [1, 1]

    async def booked():
        hits = await operations("CACHE_HIT")
        assert len(hits) == 199
        return hits

    hits = await eventually(booked, 20)
    assert {entry.amount for entries in hits for entry in entries} == {0}
    uses = [entry.cache_use for (entry,) in hits]
    assert {use.generation_id: use.saved for use in uses} == {
        found.generation_id: leader.cost for found in others
    }
    assert await spent() == leader.cost
    joined = next(found for found in others if found.cached == "joined")
    content, _ = await generations.download(joined.artifacts[0].artifact_id)
    assert hashlib.sha256(content).hexdigest() == leader.artifacts[0].sha256


async def test_those_that_wait_take_no_slot(generations, make_worker, emulator, followers):
    worker = make_worker(WORKERS_IMAGE_SLOTS="2")
    await worker.start()
    await emulator.order("openai", "latency", seconds=4, match="same")
    ids = await submit_many(generations, 10, prompt="the same", **OPENAI)
    await eventually(lambda: emulator.calls(provider="openai"))
    other = await generations.make(prompt="another", **OPENAI)
    assert state(other) == "SUCCEEDED"
    assert state(await generations.get(ids[0])) in ("QUEUED", "RUNNING")
    await all_ended(generations, ids)
    assert len(await emulator.calls(provider="openai", prompt="same")) == 1


async def test_what_its_leader_could_not_make_the_next_one_makes_for_all(
    generations, worker, emulator, followers, spent
):
    await emulator.order("openai", "latency", seconds=2)
    await emulator.order("openai", "refused", step="accept")
    ids = await submit_many(generations, 5, **OPENAI)
    await eventually(lambda: _has(followers, ids, 4))
    ended = await all_ended(generations, ids)
    assert sorted(state(found) for found in ended) == ["FAILED", *["SUCCEEDED"] * 4]
    assert len(await emulator.calls(provider="openai")) == 2
    # What was refused after the work was done may have to be paid.
    assert await spent() == sum(found.cost for found in ended)
    assert len([found for found in ended if found.cost]) == 2


async def _has(followers, ids, count):
    return await followers(ids) == count


async def test_a_leader_that_is_denied_lets_the_others_go_on(
    generations, stubs, run, emulator, followers, spent
):
    await stubs.account("acme/poor")
    await stubs.set_budget("acme/poor", 1, name="nothing")
    poor = (await generations.submit("acme/poor", **OPENAI)).generation.generation_id
    ids = await submit_many(generations, 3, **OPENAI)
    # It leads, and its worker dies before it is denied.
    await run(poor, Fate("begin_attempt", "before"), only_fated=True)
    async with asyncio.TaskGroup() as group:
        for follower in ids:
            group.create_task(run(follower))
        await eventually(lambda: _has(followers, ids, 3))
        await run(poor)
    assert state(await generations.get(poor)) == "DENIED"
    made = [await generations.get(follower) for follower in ids]
    assert {state(found) for found in made} == {"SUCCEEDED"}
    (call,) = await emulator.calls(provider="openai")
    assert await spent() == call.billed_micros


async def test_a_leader_that_is_cancelled_lets_the_others_go_on(
    generations, worker, core, emulator, followers, spent
):
    await emulator.order("openai", "rate_limited", seconds=8)
    leader = (await generations.submit(**OPENAI)).generation.generation_id
    await eventually(lambda: emulator.calls(provider="openai"))
    ids = await submit_many(generations, 3, **OPENAI)
    await eventually(lambda: _has(followers, ids, 3))
    await cancel_generation(core.generations, ids[0])
    await cancel_generation(core.generations, leader)
    ended = await all_ended(generations, [leader, *ids], 100)
    assert [state(found) for found in ended] == ["CANCELLED", "CANCELLED", "SUCCEEDED", "SUCCEEDED"]
    assert await spent() == sum(found.cost for found in ended)


async def test_a_leader_that_dies_is_waited_for(
    generations, make_worker, emulator, followers, spent
):
    worker = make_worker()
    await worker.start()
    await emulator.order("fal", "hang", step="status")
    ids = await submit_many(generations, 4, model="fal-ai/flux/dev")
    await eventually(lambda: _has(followers, ids, 3))
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    await worker.send(signal.SIGKILL)
    await worker.start()
    made = await all_ended(generations, ids)
    assert {state(found) for found in made} == {"SUCCEEDED"}
    (call,) = await emulator.calls(provider="fal", step="submit")
    assert await spent() == call.billed_micros == sum(found.cost for found in made)


async def test_what_a_soft_cap_has_made_worse_is_for_nobody_else(
    generations, stubs, worker, emulator, followers
):
    await stubs.account("acme/capped")
    await stubs.set_budget("acme/capped", 1, enforcement="DOWNGRADE", name="soft")
    await emulator.order("openai", "latency", seconds=2)
    lesser = (await generations.submit("acme/capped")).generation.generation_id
    await eventually(lambda: emulator.calls(provider="openai"))
    better = (await generations.submit()).generation.generation_id
    await eventually(lambda: _has(followers, [better], 1))
    first, second = await all_ended(generations, [lesser, better])
    assert (first.downgraded, second.downgraded) == (True, False)
    assert (second.cached, second.cost > first.cost) == ("", True)


async def test_another_one_is_made_though_the_first_is_there_or_in_flight(
    generations, make_worker, emulator, spent
):
    await make_worker().start()
    await emulator.order("openai", "latency", seconds=2)
    first = (await generations.submit(**OPENAI)).generation.generation_id
    await eventually(lambda: emulator.calls(provider="openai"))
    other = (await generations.submit(prompt="", parent_id=first)).generation.generation_id
    made = await all_ended(generations, [first, other])
    third = await generations.make(prompt="", parent_id=first)
    for found in (*made, third):
        assert (state(found), found.cached, found.attempt_count) == ("SUCCEEDED", "", 1)
    calls = await emulator.calls(provider="openai")
    assert len(calls) == 3
    assert await spent() == sum(call.billed_micros for call in calls)
    # Who does not ask for another one is served by what is there.
    assert (await generations.make(**OPENAI)).cached == "exact"
