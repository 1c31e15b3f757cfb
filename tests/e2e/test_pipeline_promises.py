"""What workers promise about calls: each attempt is one, and a dead worker is noticed in time."""

from __future__ import annotations

import asyncio
import signal

import pytest

from generating import read_generation, state
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}
FAL = {"model": "fal-ai/flux/dev"}
LEASE_S = 3.0
# A poll of the queue, the spread of a job's next turn, and a busy machine.
SLACK_S = 3.0

pytestmark = pytest.mark.usefixtures("funded")


async def test_an_answer_that_is_not_waited_for_any_longer_was_asked_for_once(
    generations, make_worker, emulator, spent, attempts
):
    await make_worker(WORKERS_OPENAI_SECONDS_MAX="1").start()
    await emulator.order("openai", "hang", step="accept")
    made = await generations.make(**OPENAI)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    lost, _ = await attempts(made.generation_id)
    assert (lost["error_class"], lost["presumed_spent"]) == ("TimeoutUnknown", True)
    assert len(await emulator.calls(provider="openai")) == 2, "one for each attempt"
    assert await spent() == made.cost


async def test_a_job_of_which_no_id_came_is_never_submitted_again(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("fal", "drop", step="accept")
    failed = await generations.make(**FAL)
    assert (state(failed), failed.error_reason) == ("FAILED", "timeout_unknown")
    (attempt,) = await attempts(failed.generation_id)
    assert (attempt["presumed_spent"], attempt["remote_id"]) == (True, None)
    assert len(await emulator.calls(provider="fal", step="submit")) == 1
    assert await spent() == failed.cost == attempt["estimate_micros"]


async def test_a_killed_worker_is_taken_over_within_its_lease_and_a_poll(
    generations, make_worker, emulator, ledger_url, spent
):
    lease = {"WORKERS_LEASE_S": str(LEASE_S), "WORKERS_RECONCILE_S": "3600"}
    dies, takes_over = make_worker(**lease), make_worker(**lease)
    await dies.start()
    await emulator.order("fal", "hang", step="status")
    generation_id = (await generations.submit(**FAL)).generation.generation_id
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    await takes_over.start()
    await dies.send(signal.SIGKILL)
    killed = asyncio.get_running_loop().time()

    async def taken_over():
        (fence,) = await read_generation(ledger_url, generation_id, "fence")
        return fence == 2

    await eventually(taken_over)
    assert asyncio.get_running_loop().time() - killed < LEASE_S + SLACK_S
    made = await generations.ended(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    assert await spent() == made.cost
