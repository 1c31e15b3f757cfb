"""QueueService while real workers are at work, and are paused, killed and helped."""

from __future__ import annotations

import signal

import pytest

from authority.v1 import generation_service_pb2 as messages
from clients import JobFilter, JobState, Kind
from generating import ENDED, state
from recounting import counts_of
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}

pytestmark = pytest.mark.usefixtures("funded")


async def submitted(generations, prompt="a lighthouse", **fields):
    """Submit; return the id."""
    return (await generations.submit(prompt=prompt, **fields)).generation.generation_id


async def test_the_figures_are_those_of_a_recount_while_all_moves(
    generations, make_worker, emulator, queues, stores, stubs
):
    await emulator.order("openai", "refused", match="bad", times=None)
    await emulator.order("openai", "latency", seconds=1.0, times=None)
    worker = make_worker(WORKERS_IMAGE_SLOTS="2")
    names = [
        await submitted(generations, f"{'bad' if at % 4 == 0 else 'good'} {at}", **OPENAI)
        for at in range(8)
    ]
    names.append(await submitted(generations, kind=messages.KIND_CHAT))
    waiting = await queues.list_queues()
    assert counts_of(waiting) == await stores.recount()
    assert waiting.queues[0].ready_count == 8
    assert waiting.queues[0].slot_count == 0
    await worker.start()

    async def agree():
        # Both are read one after the other, and something may move in between.
        found = await queues.list_queues()
        assert counts_of(found) == await stores.recount()
        return found.queues[0].running_count == 2

    await eventually(agree, 20)
    (told,) = await queues.list_workers()
    assert dict(told.slots)[Kind.IMAGE] == 2
    assert set(told.generation_ids) <= set(names)
    ended = [await generations.ended(name, 60) for name in names]
    assert {state(made) for made in ended} <= {"SUCCEEDED", "FAILED"}

    async def settled():
        found = await queues.list_queues()
        return found.queues if counts_of(found) == await stores.recount() else None

    image, chat, _ = await eventually(settled, 20)
    figures = await stores.refigure()
    for queue, kind in ((image, "image"), (chat, "chat")):
        assert (queue.submitted_count, queue.ended_count, queue.failed_count) == tuple(
            figures[kind][name] for name in ("submitted", "ended", "failed")
        )
    assert (image.ended_count, image.failed_count, image.ready_count) == (8, 2, 0)
    assert image.wait_p95 > image.wait_p50
    assert image.run_p95.total_seconds() >= 1
    assert image.drain_time is None
    assert await stubs.differences() == []


async def test_a_paused_queue_waits_and_a_promoted_job_is_first(
    generations, make_worker, emulator, queues
):
    await queues.pause_queue("image")
    worker = make_worker(WORKERS_IMAGE_SLOTS="1")
    await worker.start()
    names = [
        await submitted(generations, f"number {at}", priority=priority, **OPENAI)
        for at, priority in enumerate(
            (messages.PRIORITY_HIGH, messages.PRIORITY_NORMAL, messages.PRIORITY_BATCH)
        )
    ]
    assert (await queues.promote_jobs([names[2]])).generation_ids == (names[2],)
    found = (await queues.list_queues()).queues[0]
    assert (found.ready_count, found.running_count) == (3, 0)
    assert found.pause_time is not None
    assert "paused" in {finding.finding for finding in await queues.diagnose()}
    assert await emulator.calls() == []
    assert await queues.resume_queue("image")
    for name in names:
        assert state(await generations.ended(name)) == "SUCCEEDED"
    prompts = [call.prompt for call in await emulator.calls(provider="openai")]
    assert prompts == ["number 2", "number 0", "number 1"]


async def test_dead_letters_are_seen_retried_and_paid_once(
    generations, worker, emulator, queues, spent, attempts
):
    # Each is tried five times.
    await emulator.order("openai", "rate_limited", seconds=0, times=10)
    names = [await submitted(generations, f"try {at}", **OPENAI) for at in range(2)]
    for name in names:
        assert state(await generations.ended(name)) == "FAILED"
    dead = JobFilter(state=JobState.DEAD, error_reason="rate_limited")
    listed = [job async for job in queues.list_jobs(dead)]
    assert {job.generation_id for job in listed} == set(names)
    assert {job.provider for job in listed} == {"openai"}
    tried = (await queues.get_job(names[0])).attempts
    assert len(tried) == 5
    for attempt in tried:
        assert attempt.error_class == "RateLimited"
        assert attempt.error_body
        assert attempt.charged == 0
    assert (await queues.list_queues()).queues[0].dead_count == 2
    made = await queues.retry_jobs(dead, reason="the provider has changed its mind")
    assert set(made.generation_ids) == set(names)

    async def succeeded():
        found = [await generations.get(name) for name in names]
        return all(state(item) == "SUCCEEDED" for item in found) and found

    found = await eventually(succeeded, 20)
    assert [item.attempt_count for item in found] == [6, 6]
    assert await spent() == sum(item.cost for item in found) > 0
    assert (await queues.list_queues()).queues[0].dead_count == 0
    assert len((await queues.get_job(names[0])).attempts) == 6


async def test_the_jobs_of_a_killed_worker_are_orphaned_until_another_takes_them(
    generations, make_worker, emulator, queues, stores, spent
):
    await emulator.order("openai", "latency", seconds=30.0)
    worker = make_worker()
    await worker.start()
    name = await submitted(generations, **OPENAI)

    async def found():
        return (await queues.get_job(name)).job.state

    async def asked():
        detail = await queues.get_job(name)
        return detail.job.state is JobState.RUNNING and [
            attempt for attempt in detail.attempts if attempt.state == "DISPATCHED"
        ]

    await eventually(asked, 20)
    await worker.send(signal.SIGKILL)
    await eventually(lambda: _is(found, JobState.ORPHANED), 20)
    assert counts_of(await queues.list_queues()) == await stores.recount()
    # It is heard of no more once its last beat has passed.
    findings = {finding.finding: finding for finding in await queues.diagnose()}
    assert findings["job_orphaned"].subjects == (name,)
    await make_worker().start()
    assert state(await generations.ended(name, 60)) == "SUCCEEDED"
    assert (await queues.get_job(name)).job.state is JobState.ENDED
    assert await spent() > 0


async def test_a_job_whose_data_is_gone_is_made_all_the_same(
    generations, make_worker, queues, stores
):
    names = [await submitted(generations, f"{at}", **OPENAI) for at in range(2)]
    async with stores.redis() as redis:
        await redis.delete(*(f"arq:job:{name}:0" for name in names))
    (finding,) = [
        finding for finding in await queues.diagnose() if finding.finding == "job_data_gone"
    ]
    assert finding.count == 2
    # One is helped, the other helps itself.
    assert (await queues.requeue_jobs([names[0]])).generation_ids == (names[0],)
    await make_worker().start()
    for name in names:
        assert state(await generations.ended(name, 60)) == "SUCCEEDED"


async def test_many_jobs_are_cancelled_at_once_while_workers_are_at_work(
    generations, make_worker, emulator, queues, stores, spent
):
    await emulator.order("openai", "latency", seconds=2.0, times=None)
    await make_worker(WORKERS_IMAGE_SLOTS="2").start()
    names = [await submitted(generations, f"{at}", **OPENAI) for at in range(30)]

    made = await queues.cancel_jobs(JobFilter(kind=Kind.IMAGE), reason="a mistake")
    assert len(made.generation_ids) >= 28
    ended = [await generations.ended(name, 60) for name in names]
    assert {state(item) for item in ended} <= ENDED - {"FAILED", "DENIED"}
    assert sum(state(item) == "CANCELLED" for item in ended) >= 26
    assert await spent() == sum(item.cost for item in ended)
    assert [job async for job in queues.list_jobs()] == []
    rows = await stores.rows("SELECT reason FROM admin_audit WHERE method = 'CancelJobs'")
    assert [row["reason"] for row in rows] == ["a mistake"] * len(made.generation_ids)


async def _is(read, wanted):
    return await read() is wanted
