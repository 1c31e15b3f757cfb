"""The queue on a real Valkey, with a real arq worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job
from arq.worker import Worker, func

from generations.beats import BEAT_TTL_S, Beat, beat_key, end_beats, read_beats, write_beat
from generations.queue import (
    FUNCTION_NAME,
    JobError,
    NotJson,
    deserialize,
    enqueue,
    job_id,
    open_pool,
    queue_name,
    redis_settings,
    serialize,
)

GENERATION = "acme/0199a0b2-0000-7000-8000-000000000001"
THIRTY_DAYS_MS = 30 * 24 * 3600 * 1000


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[ArqRedis]:
    """A pool on an empty database."""
    pool = await open_pool(redis_url)
    yield pool
    await pool.aclose()


async def work(pool: ArqRedis, function) -> None:
    """Run every job of the image queue with the function, in a real worker."""
    worker = Worker(
        functions=[func(function, name=FUNCTION_NAME)],
        redis_pool=pool,
        queue_name=queue_name("image"),
        burst=True,
        handle_signals=False,
        poll_delay=0.01,
        max_tries=10,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )
    await worker.async_run()


async def test_an_entry_carries_the_id_alone_and_lives_for_thirty_days(pool: ArqRedis):
    assert await enqueue(pool, GENERATION, 0, "image")
    raw = await pool.get(f"arq:job:{GENERATION}:0")
    entry = deserialize(raw)
    assert (entry["f"], entry["a"], entry["k"]) == (FUNCTION_NAME, [GENERATION], {})
    assert THIRTY_DAYS_MS - 60_000 < await pool.pttl(f"arq:job:{GENERATION}:0") <= THIRTY_DAYS_MS
    assert await pool.zscore(queue_name("image"), job_id(GENERATION, 0)) is not None


async def test_a_job_is_enqueued_once_however_many_ask(pool: ArqRedis):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(enqueue(pool, GENERATION, 0, "image")) for _ in range(50)]
    assert sorted(task.result() for task in tasks) == [False] * 49 + [True]
    assert await pool.zcard(queue_name("image")) == 1
    assert await enqueue(pool, GENERATION, 1, "image")
    assert await pool.zcard(queue_name("image")) == 2


async def test_a_worker_gets_the_id_and_its_error_comes_back_by_name(pool: ArqRedis):
    seen = []

    async def run_generation(_: dict, generation_id: str) -> None:
        seen.append(generation_id)
        raise LookupError("no such row")

    await enqueue(pool, GENERATION, 0, "image")
    await work(pool, run_generation)
    assert seen == [GENERATION]
    job = Job(job_id(GENERATION, 0), pool, queue_name("image"), deserialize)
    with pytest.raises(JobError, match="LookupError: no such row"):
        await job.result(timeout=5, poll_delay=0.01)
    assert not await enqueue(pool, GENERATION, 0, "image"), "it has ended lately"


async def test_a_lost_connection_is_not_taken_for_a_job_that_is_there(redis_url: str):
    """The first call meets a closed connection: arq alone would say that the job is there."""
    address = urlsplit(redis_url)
    cut = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection(address.hostname, address.port)

        async def requests() -> None:
            while data := await reader.read(65536):
                if b"EVALSHA" in data and not cut:
                    cut.append(data)
                    break
                downstream.write(data)
            downstream.close()

        async def replies() -> None:
            while data := await upstream.read(65536):
                writer.write(data)
            writer.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(requests())
            group.create_task(replies())

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        pool = await open_pool(redis_url.replace(f":{address.port}", f":{port}"))
        assert await enqueue(pool, GENERATION, 0, "image")
        assert cut, "the fault did not happen"
        assert await pool.zcard(queue_name("image")) == 1
        await pool.aclose()


async def test_a_pickle_in_the_store_is_refused(pool: ArqRedis):
    await pool.set("arq:job:evil", b"\x80\x05N.")
    with pytest.raises(NotJson):
        deserialize(await pool.get("arq:job:evil"))


async def test_beats_are_read_by_name_and_go_away(pool: ArqRedis):
    assert await read_beats(pool) == []
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    beats = [
        Beat(f"host:{pid}", "1", now, now, {"image": 4}, (GENERATION,), ("sandbox",))
        for pid in range(10, 40)
    ]
    for beat in beats:
        await write_beat(pool, beat)
    stranger = replace(beats[0], worker="stranger:1")
    await write_beat(pool, stranger)
    await pool.set(beat_key("stranger:1"), "not a beat")
    assert await read_beats(pool) == beats
    assert 0 < await pool.ttl(beat_key("host:10")) <= BEAT_TTL_S
    await end_beats(pool, "host:10")
    assert await read_beats(pool) == beats[1:]
    # It may come back.
    await write_beat(pool, beats[0])
    assert await read_beats(pool) == beats


async def test_the_pool_survives_what_the_settings_promise(redis_url: str):
    assert redis_settings(redis_url).password, "the test's server has a password"
    pool = await open_pool(redis_url)
    assert redis_settings(redis_url).password not in repr(pool)
    await pool.aclose()
