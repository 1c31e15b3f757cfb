"""QueueService while Redis is away, or has lost everything."""

from __future__ import annotations

import time

import pytest

from clients import JobFilter, JobState, RetryPolicy, Unavailable
from recounting import counts_of


@pytest.fixture
async def valkey(make_valkey):
    """A Valkey of the test's own, to be killed."""
    return await make_valkey()


@pytest.fixture
def redis_url(valkey):
    """The URL of the test's own Valkey."""
    return valkey.url


async def test_whoever_asks_is_told_in_time(hand_in, queues, valkey):
    name = await hand_in()
    queues._retry = RetryPolicy(attempts_max=1)
    await queues.list_queues()
    await valkey.kill()
    for call in (queues.list_queues, queues.list_limits, queues.list_workers, queues.diagnose):
        start_s = time.monotonic()
        with pytest.raises(Unavailable, match="queue"):
            await call()
        assert time.monotonic() - start_s < 5
    with pytest.raises(Unavailable):
        await queues.pause_queue("image")
    await valkey.start()
    assert (await queues.get_job(name)).job.generation_state == "QUEUED"


async def test_what_redis_has_lost_is_lost_and_can_be_enqueued_anew(hand_in, queues, stores):
    names = {await hand_in() for _ in range(3)}
    async with stores.redis() as redis:
        await redis.flushall()
    assert counts_of(await queues.list_queues()) == await stores.recount()
    lost = JobFilter(state=JobState.LOST)
    assert {job.generation_id async for job in queues.list_jobs(lost)} == names
    (finding,) = [found for found in await queues.diagnose() if found.finding == "job_lost"]
    assert finding.count == 3
    assert set((await queues.requeue_jobs(lost)).generation_ids) == names
    found = (await queues.list_queues()).queues[0]
    assert (found.lost_count, found.ready_count, found.stray_count) == (0, 3, 0)
