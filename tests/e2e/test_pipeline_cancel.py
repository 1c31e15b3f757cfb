"""Cancelling a generation in every state: what is paid, what is given back, what is delivered."""

from __future__ import annotations

import signal

import pytest

from generating import read_generation, state
from pipelines import Fate
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}
FAL = {"model": "fal-ai/flux/dev"}

pytestmark = pytest.mark.usefixtures("funded")


@pytest.fixture
def cancel(generations):
    """A function that asks for a generation to be cancelled; it returns its state after that."""

    async def cancel(generation_id):
        return state(await generations.cancel(generation_id))

    return cancel


async def submitted(generations, **fields):
    """Submit; return the id."""
    return (await generations.submit(**fields)).generation.generation_id


async def test_what_only_waits_is_cancelled_at_once_and_stays_so(
    generations, cancel, make_worker, emulator, spent, attempts
):
    generation_id = await submitted(generations, **OPENAI)
    assert await cancel(generation_id) == "CANCELLED"
    assert await cancel(generation_id) == "CANCELLED", "repeating is safe"
    found = await generations.get(generation_id)
    assert (state(found), found.error_reason, found.cost) == ("CANCELLED", "cancelled", 0)
    await make_worker().start()
    await generations.make(prompt="another", **OPENAI)
    assert await attempts(generation_id) == []
    assert state(await generations.get(generation_id)) == "CANCELLED"
    assert len(await emulator.calls()) == 1
    assert await spent() > 0


async def test_a_hold_that_a_dead_worker_left_is_given_back(
    generations, cancel, run, stubs, emulator, spent, attempts
):
    generation_id = await submitted(generations, **OPENAI)
    # It has reserved, and has not written that down.
    await run(generation_id, Fate("reserve", "after"), only_fated=True)
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] > 0
    assert await cancel(generation_id) == "RUNNING"
    await run(generation_id)
    assert state(await generations.get(generation_id)) == "CANCELLED"
    (attempt,) = await attempts(generation_id)
    assert (attempt["state"], attempt["error_reason"]) == ("RELEASED", "cancelled")
    assert await emulator.calls() == []
    assert await spent() == 0


async def test_what_waits_for_its_next_try_is_cancelled_at_once(
    generations, cancel, worker, emulator, ledger_url, spent
):
    await emulator.order("openai", "rate_limited", seconds=60)
    generation_id = await submitted(generations, **OPENAI)

    async def waits():
        row = await read_generation(ledger_url, generation_id, "state", "attempt_count")
        return row == ("QUEUED", 1)

    await eventually(waits)
    assert await cancel(generation_id) == "CANCELLED"
    assert await spent() == 0


async def test_a_call_that_cannot_be_stopped_is_delivered_and_paid(
    generations, cancel, worker, emulator, spent, attempts
):
    await emulator.order("openai", "latency", seconds=2)
    generation_id = await submitted(generations, **OPENAI)
    await eventually(lambda: emulator.calls(provider="openai"))
    assert await cancel(generation_id) == "RUNNING"
    made = await generations.ended(generation_id)
    assert (state(made), len(made.artifacts)) == ("SUCCEEDED", 1)
    assert await cancel(generation_id) == "SUCCEEDED"
    (call,) = await emulator.calls(provider="openai")
    assert await spent() == made.cost == call.billed_micros


async def test_a_call_that_fails_after_the_cancelling_is_not_tried_again(
    generations, cancel, worker, emulator, spent, attempts
):
    await emulator.order("openai", "latency", seconds=2)
    await emulator.order("openai", "drop", step="accept")
    generation_id = await submitted(generations, **OPENAI)
    await eventually(lambda: emulator.calls(provider="openai"))
    await cancel(generation_id)
    ended = await generations.ended(generation_id)
    assert (state(ended), ended.attempt_count) == ("CANCELLED", 1)
    (attempt,) = await attempts(generation_id)
    assert attempt["presumed_spent"], "nobody knows whether it was made"
    assert await spent() == ended.cost == attempt["estimate_micros"]


async def test_a_job_is_stopped_at_its_provider_and_costs_nothing(
    generations, cancel, worker, emulator, spent, attempts
):
    await emulator.order("fal", "job_stuck")
    generation_id = await submitted(generations, **FAL)
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    assert await cancel(generation_id) == "RUNNING"
    ended = await generations.ended(generation_id)
    assert (state(ended), ended.cost) == ("CANCELLED", 0)
    (attempt,) = await attempts(generation_id)
    assert (attempt["state"], attempt["error_reason"]) == ("RELEASED", "job_cancelled")
    assert await spent() == 0


async def test_a_job_whose_worker_died_is_stopped_by_the_next_one(
    generations, cancel, make_worker, emulator, spent, attempts
):
    worker = make_worker()
    await worker.start()
    await emulator.order("fal", "job_stuck")
    generation_id = await submitted(generations, **FAL)
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    await worker.send(signal.SIGKILL)
    assert await cancel(generation_id) == "RUNNING"
    await worker.start()
    ended = await generations.ended(generation_id)
    assert (state(ended), ended.cost, ended.attempt_count) == ("CANCELLED", 0, 1)
    assert len(await emulator.calls(provider="fal", step="submit")) == 1
    assert await spent() == 0


async def test_an_attempt_to_settle_is_settled_at_once_by_a_job_of_its_own(
    generations, cancel, run, worker, emulator, ledger_url, spent
):
    await emulator.order("fal", "hang", step="status", times=None)
    generation_id = await submitted(generations, **FAL)
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    # Stopped the hard way, it puts back what it has begun.
    worker.signal(signal.SIGTERM)
    await eventually(lambda: "worker_stopping" in worker.log_file.read_text())
    await worker.send(signal.SIGTERM)
    await emulator.clear()
    number, before = await read_generation(ledger_url, generation_id, "requeue_number", "state")
    assert before == "QUEUED"
    assert await cancel(generation_id) == "QUEUED"
    assert await read_generation(ledger_url, generation_id, "requeue_number") == (number + 1,)
    await worker.start()
    ended = await generations.ended(generation_id)
    assert state(ended) in ("CANCELLED", "SUCCEEDED")
    assert await spent() == ended.cost


async def test_an_end_is_not_changed(generations, cancel, worker, emulator, spent):
    await emulator.order("openai", "refused")
    failed = await generations.make(**OPENAI)
    assert await cancel(failed.generation_id) == "FAILED"
    assert await generations.get(failed.generation_id) == failed
