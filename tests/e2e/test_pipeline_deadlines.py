"""Deadlines: nothing is begun after one, nothing stays held, and what may be spent is flagged."""

from __future__ import annotations

import psycopg
import pytest
from google.protobuf.duration_pb2 import Duration

from generating import read_generation, state
from pipelines import Fate
from support import eventually
from workers.database import make_pool
from workers.reconciler import Reconciler

OPENAI = {"model": "gpt-image-2", "quality": "high"}
FAL = {"model": "fal-ai/flux/dev"}

pytestmark = pytest.mark.usefixtures("funded")


def within(seconds):
    """Return the fields of a submission that is to be made within so many seconds."""
    return {"expire_after": Duration(seconds=seconds)}


async def expire(ledger_url, generation_id):
    """Let it be long ago that a generation was submitted, so that its deadline has passed."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE generation SET deadline_time = now(),"
            " create_time = now() - (deadline_time - create_time) WHERE generation_id = %s",
            [generation_id],
        )


async def submitted(generations, **fields):
    """Submit; return the id."""
    return (await generations.submit(**fields)).generation.generation_id


async def test_what_is_late_is_not_begun(
    generations, ledger_url, make_worker, emulator, spent, attempts
):
    generation_id = await submitted(generations, **OPENAI, **within(60))
    await expire(ledger_url, generation_id)
    await make_worker().start()
    failed = await generations.ended(generation_id)
    assert (state(failed), failed.error_reason) == ("FAILED", "deadline_exceeded")
    assert await attempts(generation_id) == []
    assert await emulator.calls() == []
    assert await spent() == 0


async def test_what_nobody_claims_ends_all_the_same(generations, ledger_url, redis_url):
    late = await submitted(generations, **OPENAI, **within(60))
    early = await submitted(generations, prompt="another", **OPENAI, **within(60))
    await expire(ledger_url, late)
    pool = make_pool(ledger_url, size_max=2)
    await pool.open()
    await Reconciler(pool, redis=None).run_once()
    await pool.close()
    assert state(await generations.get(late)) == "FAILED"
    assert state(await generations.get(early)) == "QUEUED"


async def test_a_hold_that_a_dead_worker_left_is_given_back(
    generations, run, ledger_url, stubs, emulator, spent
):
    generation_id = await submitted(generations, **OPENAI, **within(60))
    await run(generation_id, Fate("reserve", "after"), only_fated=True)
    assert (await stubs.balance("acme"))["acme", "usd-day"][0] > 0
    await expire(ledger_url, generation_id)
    await run(generation_id)
    failed = await generations.get(generation_id)
    assert (state(failed), failed.error_reason) == ("FAILED", "deadline_exceeded")
    assert await emulator.calls() == []
    assert await spent() == 0


async def test_what_waits_for_its_next_try_ends_at_the_deadline(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "rate_limited", seconds=60)
    failed = await generations.make(**OPENAI, **within(3))
    assert (state(failed), failed.error_reason) == ("FAILED", "deadline_exceeded")
    assert [row["state"] for row in await attempts(failed.generation_id)] == ["RELEASED"]
    assert await spent() == 0


async def test_a_call_that_cannot_be_stopped_is_left_and_presumed_spent(
    generations, worker, emulator, spent, attempts, ledger_url
):
    await emulator.order("openai", "hang", step="accept")
    failed = await generations.make(**OPENAI, **within(2))
    assert (state(failed), failed.error_reason) == ("FAILED", "deadline_exceeded")
    (attempt,) = await attempts(failed.generation_id)
    assert attempt["presumed_spent"]
    assert len(await emulator.calls(provider="openai")) == 1
    assert await spent() == failed.cost == attempt["estimate_micros"]
    assert await read_generation(ledger_url, failed.generation_id, "dead_time") == (None,)


async def test_a_job_is_stopped_at_its_provider_and_costs_nothing(
    generations, worker, emulator, spent
):
    await emulator.order("fal", "job_stuck")
    failed = await generations.make(**FAL, **within(2))
    assert (state(failed), failed.error_reason) == ("FAILED", "deadline_exceeded")
    assert failed.cost == await spent() == 0


async def test_what_the_work_has_come_to_is_told(generations, worker, emulator, ledger_url):
    await emulator.order("fal", "job_stuck")
    generation_id = await submitted(generations, **FAL, **within(4))

    async def told():
        (stage,) = await read_generation(ledger_url, generation_id, "stage")
        return stage

    assert await eventually(told)
    await generations.ended(generation_id)
    assert await read_generation(ledger_url, generation_id, "stage", "progress_percent") == (
        "",
        None,
    )
