"""A worker process as a whole: its signs of life, its end in order, and its end in disorder."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from generating import insert_generation, read_generation
from generations.beats import read_beats
from generations.models import Kind
from generations.queue import enqueue
from support import eventually
from workers.config import WorkerSettings
from workers.main import now, open_worker
from workers.providers.settings import ProviderSettings
from workers.rows import End, EndState


@pytest.fixture
def settings(ledger_url, redis_url, tmp_path):
    # By the names of the variables, as pydantic takes them.
    return WorkerSettings(
        DATABASE_URL=ledger_url,
        REDIS_URL=redis_url,
        PAYMASTER_ARTIFACTS=str(tmp_path),
        lease_s=1.0,
        image_slots=3,
        chat_slots=2,
        video_slots=0,
    )


@asynccontextmanager
async def at_work(settings):
    """Run a process; give it, the task, and what it waits for before it ends a generation."""
    async with open_worker(settings, ProviderSettings()) as process:
        go = asyncio.Event()
        started = []

        async def work(claim):
            started.append(claim.generation_id)
            await go.wait()
            await process.runner._store.finish(claim, End(state=EndState.FAILED))

        process.runner._work = work
        running = asyncio.create_task(process.run())
        try:
            yield process, running, started, go
        finally:
            go.set()
            if not running.done():
                process.stop(signal.SIGTERM)
                await asyncio.wait([running], timeout=20)
            running.cancel()
            await asyncio.wait([running])


async def add(settings, process, kind=Kind.IMAGE):
    """Add a generation and its job."""
    url = settings.database_url.get_secret_value()
    generation_id = await insert_generation(url, kind=kind)
    assert await enqueue(process.redis, generation_id, 0, kind)
    return generation_id


async def test_a_worker_says_what_it_is_and_does(settings, redis_url):
    async with Redis.from_url(redis_url) as redis, at_work(settings) as (process, *rest, go):
        (beat,) = await eventually(lambda: read_beats(redis))
        assert beat.slots == {"image": 3, "chat": 2}
        assert beat.version
        assert beat.started <= beat.beat <= now()
        assert "sandbox" in beat.providers
        assert (beat.running, beat.stopping) == ((), False)
        ids = {await add(settings, process, kind) for kind in (Kind.IMAGE, Kind.CHAT)}
        await eventually(lambda: process.runner.running.keys() == ids)
        process.stop(signal.SIGTERM)
        await process._beat()
        (beat,) = await read_beats(redis)
        assert set(beat.running) == ids
        assert beat.stopping
        go.set()
        await eventually(rest[0].done)
        assert await read_beats(redis) == []


async def test_a_signal_lets_every_kind_end_what_it_has_begun(settings):
    async with at_work(settings) as (process, running, started, go):
        ids = [await add(settings, process, kind) for kind in (Kind.IMAGE, Kind.CHAT)]
        await eventually(lambda: len(started) == 2)
        process.stop(signal.SIGTERM)
        late = await add(settings, process)
        assert not running.done()
        go.set()
        await asyncio.wait_for(running, 20)
        url = settings.database_url.get_secret_value()
        for generation_id in ids:
            assert await read_generation(url, generation_id, "state") == ("FAILED",)
        assert await read_generation(url, late, "state") == ("QUEUED",)


async def test_a_queue_whose_loop_has_died_ends_the_process_once_the_rest_has_ended(settings):
    async with at_work(settings) as (process, running, started, go):
        generation_id = await add(settings, process, Kind.CHAT)
        await eventually(lambda: started)
        (image, _) = process.workers

        async def die():
            raise RuntimeError("a bug")

        image._start_jobs = die
        image.wake()
        await eventually(lambda: all(worker.is_stopping for worker in process.workers))
        assert not running.done()
        go.set()
        with pytest.raises(RuntimeError, match="a bug"):
            await asyncio.wait_for(running, 20)
        url = settings.database_url.get_secret_value()
        assert await read_generation(url, generation_id, "state") == ("FAILED",)
