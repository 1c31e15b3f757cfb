"""arq's worker made safe, the runner and the reconciler, on real stores, without the pipeline."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix
from psycopg import AsyncConnection
from redis.exceptions import RedisError

from generating import insert_generation, read_generation
from generations.models import Kind
from generations.queue import enqueue, job_id, open_pool, polite_key, queue_name, score_ms
from generations.settings import Priority
from proxy import Proxy
from support import eventually
from workers.database import DatabaseAway, make_pool
from workers.reconciler import Reconciler
from workers.rows import End, EndState
from workers.runner import Runner, TryLater
from workers.store import ClaimLost, WorkStore
from workers.worker import BudgetWorker

LEASE_S = 0.6
QUEUE = queue_name(Kind.IMAGE)


@pytest.fixture
async def pool(ledger_url):
    pool = make_pool(ledger_url, size_max=6)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def redis(redis_url):
    redis = await open_pool(redis_url)
    yield redis
    await redis.aclose(close_connection_pool=True)


class Work:
    """What stands in for the pipeline: notes who ran what, and ends it when `go` is set."""

    def __init__(self, store):
        self.store = store
        self.started = []
        self.lost = []
        self.go = asyncio.Event()
        self.errors = []

    async def __call__(self, claim):
        self.started.append(claim)
        if self.errors:
            raise self.errors.pop(0)
        await self.go.wait()
        try:
            await self.store.finish(claim, End(state=EndState.FAILED, error_reason="done"))
        except ClaimLost:
            self.lost.append(claim)
            raise


@pytest.fixture
def work(pool):
    return Work(WorkStore(pool))


@asynccontextmanager
async def working(pool, redis_url, work, **options):
    """Run a worker within the block, stopped in order at its end."""
    redis = await open_pool(redis_url)
    async with working_with(pool, redis, work, **options) as worker:
        yield worker
    await redis.aclose(close_connection_pool=True)


@asynccontextmanager
async def working_with(pool, redis, work, *, name="one", renews=True, slots=2, wait_s=5):
    """Run a worker with a connection that is open."""
    runner = Runner(WorkStore(pool), work, owner=name, lease_s=LEASE_S)
    worker = BudgetWorker(
        runner.run,
        Kind.IMAGE,
        redis=redis,
        name=name,
        slots=slots,
        lease_s=LEASE_S,
        completion_wait_s=wait_s,
    )

    async def upkeep():
        while renews:
            with suppress(RedisError, OSError, DatabaseAway):
                await runner.renew_leases()
                await worker.renew_leases()
            await asyncio.sleep(LEASE_S / 4)

    tasks = [asyncio.create_task(worker.run_until_stopped()), asyncio.create_task(upkeep())]
    try:
        yield worker
    finally:
        if worker.allow_pick_jobs:
            worker.stop(signal.SIGTERM)
        await tasks[0]
        tasks[1].cancel()
        await asyncio.wait(tasks)


async def enqueued(ledger_url, redis, number=0):
    """Add a generation and its job."""
    generation_id = await insert_generation(ledger_url)
    assert await enqueue(redis, generation_id, number, Kind.IMAGE)
    return generation_id


async def ended(ledger_url, generation_id):
    """Wait until a generation has ended."""

    async def final():
        return (await read_generation(ledger_url, generation_id, "state"))[0] == "FAILED"

    await eventually(final)


async def test_a_job_ends_with_its_generation(pool, redis_url, redis, ledger_url, work):
    generation_id = await enqueued(ledger_url, redis)
    work.go.set()
    async with working(pool, redis_url, work):
        await ended(ledger_url, generation_id)
        await eventually(lambda: _is_gone(redis, generation_id))


async def _is_gone(redis, generation_id):
    name = job_id(generation_id, 0)
    there = await redis.exists(job_key_prefix + name, in_progress_key_prefix + name)
    return not there and await redis.zscore(QUEUE, name) is None


async def test_a_long_job_is_run_by_one_worker_alone(pool, redis_url, redis, ledger_url, work):
    generation_id = await enqueued(ledger_url, redis)
    async with (
        working(pool, redis_url, work, name="one"),
        working(pool, redis_url, work, name="two"),
    ):
        await eventually(lambda: work.started)
        await asyncio.sleep(3 * LEASE_S)
        work.go.set()
        await ended(ledger_url, generation_id)
    assert len(work.started) == 1


async def test_the_work_of_a_silent_worker_is_taken_over(pool, redis_url, redis, ledger_url, work):
    generation_id = await enqueued(ledger_url, redis)
    other = Work(work.store)
    other.go.set()
    async with working(pool, redis_url, work, renews=False):
        await eventually(lambda: work.started)
        async with working(pool, redis_url, other, name="two"):
            await ended(ledger_url, generation_id)
        work.go.set()
        await eventually(lambda: work.lost)
    assert len(other.started) == 1
    assert other.started[0].crash_count == 2


async def test_a_stopped_worker_lets_its_work_end_and_takes_no_more(
    pool, redis_url, redis, ledger_url, work
):
    generation_id = await enqueued(ledger_url, redis)
    async with working(pool, redis_url, work) as worker:
        await eventually(lambda: work.started)
        worker.stop(signal.SIGTERM)
        late = await enqueued(ledger_url, redis)
        await asyncio.sleep(0.3)
        work.go.set()
    assert (await read_generation(ledger_url, generation_id, "state")) == ("FAILED",)
    assert (await read_generation(ledger_url, late, "state")) == ("QUEUED",)
    assert await redis.zscore(QUEUE, job_id(late, 0)) is not None


async def test_work_that_is_cut_short_is_for_others_at_once(
    pool, redis_url, redis, ledger_url, work
):
    generation_id = await enqueued(ledger_url, redis)
    async with working(pool, redis_url, work, wait_s=0):
        await eventually(lambda: work.started)
    columns = "state", "lease_until", "crash_count"
    assert await read_generation(ledger_url, generation_id, *columns) == ("QUEUED", None, 0)
    work.go.set()
    async with working(pool, redis_url, work, name="two"):
        await ended(ledger_url, generation_id)


async def test_what_is_tried_later_is_run_later(pool, redis_url, redis, ledger_url, work):
    generation_id = await enqueued(ledger_url, redis)
    work.go.set()

    async def later(claim):
        if not work.started:
            work.started.append(claim)
            await work.store.put_back(claim, 0.7, crashed=False)
            raise TryLater(0.7)
        await work(claim)

    async with working(pool, redis_url, later):
        begun = asyncio.get_running_loop().time()
        await ended(ledger_url, generation_id)
        assert asyncio.get_running_loop().time() - begun >= 0.7


async def test_a_fault_is_tried_again_and_counted(pool, redis_url, redis, ledger_url, work):
    generation_id = await enqueued(ledger_url, redis)
    work.go.set()
    work.errors = [RuntimeError("a bug"), DatabaseAway("gone")]
    async with working(pool, redis_url, work):
        await ended(ledger_url, generation_id)
    assert [claim.crash_count for claim in work.started] == [1, 2, 1]


async def test_a_claim_outlives_earlier_work_of_the_same_process(pool, ledger_url, work):
    generation_id = await insert_generation(ledger_url)
    first, second = asyncio.Event(), asyncio.Event()

    async def two_works(claim):
        work.started.append(claim)
        await (first if len(work.started) == 1 else second).wait()
        await work.store.finish(claim, End(state=EndState.FAILED, error_reason="done"))

    runner = Runner(work.store, two_works, owner="one", lease_s=LEASE_S)
    lost = asyncio.create_task(runner.run(generation_id))
    await eventually(lambda: work.started)

    async def claimed_again():
        # Nobody renews: the lease passes, and a second job claims it here.
        again = asyncio.create_task(runner.run(generation_id))
        await asyncio.wait([again], timeout=LEASE_S)
        assert len(work.started) == 2
        return again

    again = await eventually(claimed_again)
    first.set()
    assert await lost is not None, "its claim was lost"
    assert list(runner.running.values()) == work.started[1:], "it is renewed still"
    second.set()
    assert await again is None
    assert not runner.running


async def test_slots_are_filled_and_not_exceeded(pool, redis_url, redis, ledger_url, work):
    ids = [await enqueued(ledger_url, redis) for _ in range(5)]
    async with working(pool, redis_url, work, slots=2):
        await eventually(lambda: len(work.started) == 2)
        await asyncio.sleep(0.5)
        assert len(work.started) == 2
        work.go.set()
        for generation_id in ids:
            await ended(ledger_url, generation_id)


async def test_a_worker_survives_a_restart_of_valkey(pool, make_valkey, ledger_url, work):
    valkey = await make_valkey()
    redis = await open_pool(valkey.url)
    ids = [await enqueued(ledger_url, redis) for _ in range(3)]
    async with working(pool, valkey.url, work, slots=2):
        await eventually(lambda: len(work.started) == 2)
        await valkey.kill()
        work.go.set()
        await asyncio.sleep(1)
        await valkey.start()
        for generation_id in ids:
            await ended(ledger_url, generation_id)
        late = await enqueued(ledger_url, redis)
        await ended(ledger_url, late)
    await redis.aclose(close_connection_pool=True)


async def test_a_worker_that_is_cut_off_as_it_starts_works_later(
    pool, valkey, redis_url, redis, ledger_url, work
):
    generation_id = await enqueued(ledger_url, redis)
    work.go.set()
    async with Proxy(valkey.port) as proxy:
        url = redis_url.replace(str(valkey.port), str(proxy.port))
        connected = await open_pool(url)
        proxy.refuse()
        await asyncio.sleep(0.1)  # Until the connection is seen to be cut.
        async with working_with(pool, connected, work):
            await asyncio.sleep(0.5)
            proxy.pass_on()
            await ended(ledger_url, generation_id)
        await connected.aclose(close_connection_pool=True)


@pytest.fixture
def reconciler(pool, redis):
    return Reconciler(pool, redis)


async def test_only_what_no_queue_holds_is_enqueued(reconciler, redis, ledger_url):
    held = await enqueued(ledger_url, redis)
    lost = await insert_generation(ledger_url)
    assert await reconciler.run_once() == 1
    assert await reconciler.run_once() == 0
    assert set(await redis.zrange(QUEUE, 0, -1)) == {
        job_id(held, 0).encode(),
        job_id(lost, 1).encode(),
    }


async def test_what_is_fresh_at_work_or_ended_is_left_alone(pool, redis, ledger_url):
    store = WorkStore(pool)
    at_work, over = [await insert_generation(ledger_url) for _ in range(2)]
    await store.claim(at_work, "one", 30)
    claim = await store.claim(over, "one", 30)
    await store.finish(claim, End(state=EndState.FAILED))
    await insert_generation(ledger_url)
    assert await Reconciler(pool, redis, grace=timedelta(hours=1)).run_once() == 0
    assert await Reconciler(pool, redis).run_once() == 1


async def test_what_is_enqueued_again_has_the_turn_that_it_had(reconciler, redis, ledger_url):
    ids = {priority: await insert_generation(ledger_url) for priority in Priority}
    put_off = await insert_generation(ledger_url)
    async with await AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        for priority, generation_id in ids.items():
            await connection.execute(
                "UPDATE generation SET priority = %s WHERE generation_id = %s",
                [priority, generation_id],
            )
        await connection.execute(
            "UPDATE generation SET next_try_time = now() + interval '1 hour'"
            " WHERE generation_id = %s",
            [put_off],
        )
    assert await reconciler.run_once() == 4
    for priority, generation_id in ids.items():
        (submitted,) = await read_generation(ledger_url, generation_id, "create_time")
        score = await redis.zscore(QUEUE, job_id(generation_id, 1))
        assert abs(score - score_ms(priority, submitted)) < 1
    polite = await redis.zrange(polite_key(Kind.IMAGE), 0, -1)
    assert polite == [job_id(ids[Priority.BATCH], 1).encode()]
    (then,) = await read_generation(ledger_url, put_off, "next_try_time")
    assert abs(await redis.zscore(QUEUE, job_id(put_off, 1)) - then.timestamp() * 1000) < 1


async def test_a_lost_valkey_is_filled_again(reconciler, redis, ledger_url, monkeypatch):
    monkeypatch.setattr("workers.reconciler.PAGE", 3)
    ids = {await enqueued(ledger_url, redis) for _ in range(7)}
    await redis.flushdb()
    assert await reconciler.run_once() == 7
    jobs = await redis.zrange(QUEUE, 0, -1)
    assert {job.decode().rpartition(":")[0] for job in jobs} == ids


async def test_one_reconciler_at_a_time(pool, redis, ledger_url):
    for _ in range(5):
        await insert_generation(ledger_url)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(Reconciler(pool, redis).run_once()) for _ in range(3)]
    assert sum(run.result() for run in runs) == 5
    async with await AsyncConnection.connect(ledger_url) as connection:
        cursor = await connection.execute("SELECT max(requeue_number) FROM generation")
        assert await cursor.fetchone() == (1,)
