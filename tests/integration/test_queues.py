"""Queues of all kinds: whose turn it is, what is paused, and what the fleet costs the store."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from arq.constants import in_progress_key_prefix

from generations.models import Kind
from generations.queue import enqueue, job_id, open_pool, polite_key, queue_name
from generations.queue_control import is_paused, pause, paused, resume
from generations.settings import Priority
from support import eventually
from workers.main import now
from workers.waking import Waker
from workers.worker import BudgetWorker

LEASE_S = 1.0
HIGH, NORMAL, BATCH = Priority


@pytest.fixture
async def redis(redis_url):
    redis = await open_pool(redis_url)
    yield redis
    await redis.aclose(close_connection_pool=True)


class Runs:
    """What stands in for the runner: notes what was run, in order; holds it until `go`."""

    def __init__(self):
        self.ids = []
        self.go = asyncio.Event()
        self.before = None
        self.again_s = {}

    async def __call__(self, generation_id):
        self.ids.append(generation_id)
        if self.before:
            await self.before(generation_id)
        await self.go.wait()
        return self.again_s.pop(generation_id, None)


@pytest.fixture
def runs():
    return Runs()


def made(redis, runs, kind=Kind.IMAGE, *, name="one", slots=1, lease_s=LEASE_S):
    """Return a worker that is not at work yet."""
    return BudgetWorker(
        runs, kind, redis=redis, name=name, slots=slots, lease_s=lease_s, completion_wait_s=10
    )


@asynccontextmanager
async def at_work(*workers, renews=True):
    """Let workers work within the block."""

    async def renew():
        while renews:
            for worker in workers:
                await worker.renew_leases()
            await asyncio.sleep(workers[0]._lease_ms / 4000)

    loops = [asyncio.create_task(worker.run_until_stopped()) for worker in workers]
    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        for worker in workers:
            worker.stop(signal.SIGTERM)
            if not worker.job_counter:
                continue
            worker.stop(signal.SIGTERM)  # At once: a test that has failed does not set `go`.
        await asyncio.wait(loops)
        renewal.cancel()
        await asyncio.wait([renewal])
        for loop in loops:
            loop.result()


def ago(seconds):
    """Return a time in the past; in the future, if it is less than 0."""
    return now() - timedelta(seconds=seconds)


async def add(redis, name, priority=NORMAL, kind=Kind.IMAGE, **times):
    """Enqueue a generation."""
    assert await enqueue(redis, name, 0, kind, priority, **times)


async def polls(worker, count=3):
    """Wait until a worker has looked at its queue some times more, and taken what it may."""
    start = worker._claim_number
    for more in range(1, count + 1):
        worker.wake()
        await eventually(lambda more=more: worker._claim_number >= start + more)


async def test_what_matters_more_comes_first_and_what_waits_ages(redis, runs):
    worker = made(redis, runs)
    await add(redis, "first")
    async with at_work(worker):
        await eventually(lambda: runs.ids)
        await add(redis, "batch", BATCH)
        await add(redis, "normal")
        await add(redis, "high", HIGH)
        # Old enough, what matters less comes before what matters more.
        await add(redis, "old", NORMAL, since=ago(90))
        await add(redis, "old batch", BATCH, since=ago(370))
        runs.go.set()
        await eventually(lambda: len(runs.ids) == 6)
        await eventually(lambda: not worker.tasks)
    assert runs.ids == ["first", "old", "old batch", "high", "normal", "batch"]
    assert await redis.exists(queue_name("image"), polite_key("image")) == 0


async def test_a_batch_waits_for_nobody_but_others(redis, runs):
    worker = made(redis, runs, slots=2)
    await add(redis, "batch", BATCH)
    async with at_work(worker, renews=False):
        await eventually(lambda: runs.ids)
        # Should its worker die now, it is not polite again for five minutes.
        due = await redis.zscore(queue_name("image"), job_id("batch", 0))
        assert due <= now().timestamp() * 1000
        assert await redis.zcard(polite_key("image")) == 0
        other = Runs()
        async with at_work(made(redis, other, name="two")):
            await eventually(lambda: other.ids)
            other.go.set()
        runs.go.set()


@pytest.mark.parametrize(("waited_s", "runs_soon"), [(241, True), (200, False)])
async def test_a_batch_starts_within_five_minutes_of_nothing_but_high(
    redis, runs, waited_s, runs_soon
):
    """Each that runs is followed by two more: the queue of what comes first never ends."""
    worker = made(redis, runs)
    runs.go.set()

    async def follow(generation_id):
        if len(runs.ids) < 20:
            for number in range(2):
                await add(redis, f"{len(runs.ids)}-{number}", HIGH)

    runs.before = follow
    await add(redis, "high", HIGH)
    await add(redis, "batch", BATCH, since=ago(waited_s))
    async with at_work(worker):
        await eventually(lambda: len(runs.ids) >= 20)
    assert ("batch" in runs.ids[:5]) is runs_soon
    assert ("batch" in runs.ids[:20]) is runs_soon


async def test_batches_that_have_waited_are_one_in_four(redis, runs):
    worker = made(redis, runs)
    runs.go.set()
    for number in range(30):
        await add(redis, f"high-{number}", HIGH)
        await add(redis, f"batch-{number}", BATCH, since=ago(250))
    async with at_work(worker):
        await eventually(lambda: len(runs.ids) == 60)
    assert sum(name.startswith("batch") for name in runs.ids[:28]) == 7


async def test_what_was_put_off_is_not_begun_before(redis, runs):
    worker = made(redis, runs, slots=3)
    runs.go.set()
    await add(redis, "later", BATCH, run_at=ago(-60))
    async with at_work(worker):
        await add(redis, "now")
        await eventually(lambda: runs.ids)
        await polls(worker)
    assert runs.ids == ["now"]


async def test_a_batch_that_is_put_off_is_no_more_polite(redis, runs):
    """It would be run again at once, from where the polite ones are."""
    worker = made(redis, runs, slots=3)
    runs.go.set()
    runs.again_s = {"early": 60, "late": 60}
    await add(redis, "early", BATCH)
    await add(redis, "late", BATCH, since=ago(301))
    async with at_work(worker):
        await eventually(lambda: len(runs.ids) == 2 and not worker.job_counter)
        await polls(worker)
    assert sorted(runs.ids) == ["early", "late"]


async def test_one_that_was_cancelled_while_it_waited_is_not_run(redis, runs):
    worker = made(redis, runs)
    runs.go.set()
    await add(redis, "batch", BATCH)
    await redis.zrem(queue_name("image"), job_id("batch", 0))
    await add(redis, "other", kind=Kind.IMAGE)
    async with at_work(worker):
        await eventually(lambda: runs.ids)
        await polls(worker)
    assert runs.ids == ["other"]


async def test_each_kind_has_its_queue_and_slots(redis):
    every = {kind: Runs() for kind in Kind}
    workers = [made(redis, runs, kind, slots=2) for kind, runs in every.items()]
    for number in range(3):
        for kind in Kind:
            await add(redis, f"{kind}-{number}", kind=kind)
    async with at_work(*workers):
        await eventually(lambda: all(len(runs.ids) == 2 for runs in every.values()))
        for worker in workers:
            await polls(worker, 1) if worker.job_counter < 2 else None
        for kind, runs in every.items():
            assert sorted(runs.ids) == [f"{kind}-0", f"{kind}-1"]
            runs.go.set()
        await eventually(lambda: all(len(runs.ids) == 3 for runs in every.values()))


@pytest.mark.parametrize("target", ["image", "all"])
async def test_what_is_paused_begins_nothing_and_goes_on(redis, runs, target):
    worker = made(redis, runs, slots=3)
    other = Runs()
    await add(redis, "running")
    async with at_work(worker, made(redis, other, Kind.CHAT)):
        await eventually(lambda: runs.ids)
        await pause(redis, target)
        assert is_paused(Kind.IMAGE, await paused(redis))
        await add(redis, "waiting")
        await add(redis, "chat", kind=Kind.CHAT)
        await polls(worker)
        assert runs.ids == ["running"]
        if target == "image":
            await eventually(lambda: other.ids == ["chat"])
        else:
            assert other.ids == []
        runs.go.set()
        other.go.set()
        await eventually(lambda: worker.job_counter == 0)
        await resume(redis, target)
        await eventually(lambda: runs.ids == ["running", "waiting"])
        await eventually(lambda: other.ids == ["chat"])


async def test_one_that_stops_while_paused_does_not_begin_again(redis, runs):
    worker = made(redis, runs, slots=3)
    await add(redis, "running")
    async with at_work(worker):
        await eventually(lambda: runs.ids)
        await pause(redis, "image")
        await add(redis, "waiting")
        worker.stop(signal.SIGTERM)
        await resume(redis, "image")
        worker.wake()
        await eventually(lambda: not worker._woken.is_set())
        assert worker.is_stopping
        runs.go.set()
        await eventually(worker.main_task.done)
    assert runs.ids == ["running"]
    assert await redis.zscore(queue_name("image"), job_id("waiting", 0)) is not None


async def test_one_that_stops_at_once_has_recorded_how_its_jobs_ended(redis, runs):
    worker = made(redis, runs)

    async def hold_up_the_store(_):
        await redis.client_pause(300, all=False)  # What writes waits.

    runs.before = hold_up_the_store
    runs.go.set()
    await add(redis, "one")
    async with at_work(worker):
        await eventually(lambda: runs.ids and not worker.job_tasks)
    assert await redis.zcard(queue_name("image")) == 0


async def test_a_worker_is_woken_by_who_enqueues_and_by_what_it_has_put_off(redis, runs):
    worker = made(redis, runs)
    worker.poll_delay_s = 600
    runs.go.set()
    runs.again_s = {"one": 0.1}
    waking = asyncio.create_task(Waker(redis, [worker]).run())
    async with at_work(worker):
        await polls(worker)
        await eventually(lambda: _has_listener(redis))
        await add(redis, "one")
        await eventually(lambda: runs.ids == ["one", "one"])
        await add(redis, "two")
        await add(redis, "three")
        await eventually(lambda: len(runs.ids) == 4)
    waking.cancel()
    await asyncio.wait([waking])


async def _has_listener(redis):
    return (await redis.pubsub_numsub(f"{queue_name('image')}:wake"))[0][1]


async def test_a_claim_whose_answer_was_lost_is_given_again(redis, runs):
    worker = made(redis, runs)
    await add(redis, "one")

    async def claim(name):
        return await worker._script(
            keys=[queue_name("image"), polite_key("image"), "turn", "paused"],
            args=[5, name, 60_000, "image", in_progress_key_prefix, 0],
        )

    first = await claim("w 1")
    assert first[0] == job_id("one", 0).encode()
    assert await claim("w 1") == first
    assert await claim("w 2") == []


async def test_all_slots_of_a_fleet_are_used_though_more_jobs_run_than_a_page_has(redis, runs):
    for number in range(1200):
        await redis.set(f"{in_progress_key_prefix}{job_id(f'running-{number}', 0)}", "other 1")
        await redis.zadd(queue_name("image"), {job_id(f"running-{number}", 0): number + 1})
    for number in range(120):
        await add(redis, f"waiting-{number}")
    workers = [made(redis, runs, name=f"worker-{n}", slots=10, lease_s=15) for n in range(12)]
    async with at_work(*workers):
        await eventually(lambda: len(runs.ids) == 120, 30)
        assert all(worker.job_counter == 10 for worker in workers)
        assert len(set(runs.ids)) == 120
        runs.go.set()
        await eventually(lambda: not any(worker.job_counter for worker in workers))


async def test_an_idle_fleet_beside_many_long_jobs_costs_the_store_little(make_valkey):
    valkey = await make_valkey()
    redis = await open_pool(valkey.url)
    busy = [made(redis, Runs(), name=f"busy-{n}", slots=50, lease_s=15) for n in range(4)]
    idle = [
        made(redis, Runs(), kind, name=f"idle-{n}", slots=50, lease_s=15)
        for n in range(4)
        for kind in Kind
    ]
    for number in range(200):
        await add(redis, f"long-{number}")
    async with at_work(*busy), at_work(*idle):
        everybody = [*busy, *idle]
        await eventually(lambda: sum(worker.job_counter for worker in everybody) == 200, 30)
        wakers = [asyncio.create_task(Waker(redis, idle[n : n + 3]).run()) for n in range(0, 12, 3)]
        per_s = await _commands_per_s(redis)
        if per_s >= 200:  # On a busy machine, what has just begun is still written down.
            per_s = await _commands_per_s(redis)
        for waker in wakers:
            waker.cancel()
        await asyncio.wait(wakers)
    await redis.aclose(close_connection_pool=True)
    assert 10 < per_s < 200


async def _commands_per_s(redis):
    """Return how many commands a second the store carries out while nothing happens."""
    before, start = await _commands(redis), asyncio.get_running_loop().time()
    await asyncio.sleep(6)  # What is measured is the time in which nothing happens.
    passed_s = asyncio.get_running_loop().time() - start
    return (await _commands(redis) - before) / passed_s


async def _commands(redis):
    """Return how many commands the store has carried out, those of scripts with them."""
    return sum(found["calls"] for found in (await redis.info("commandstats")).values())
