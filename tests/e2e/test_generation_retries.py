"""Trying a generation that FAILED anew: under a new reservation, once however often it is asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from authorities import new_key
from authority.v1 import generation_service_pb2 as messages
from generating import read_generation, state
from refusals import refused

OPENAI = {"model": "gpt-image-2", "quality": "high"}

pytestmark = pytest.mark.usefixtures("funded")


async def test_what_failed_is_made_under_a_new_reservation(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "refused")
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.error_reason) == ("FAILED", "content_refused")
    retried = await generations.retry(failed.generation_id)
    assert (state(retried), retried.error_reason) == ("QUEUED", "")
    assert not retried.HasField("end_time")
    made = await generations.ended(failed.generation_id)
    assert (state(made), made.attempt_count, len(made.artifacts)) == ("SUCCEEDED", 2, 1)
    first, second = await attempts(failed.generation_id)
    assert (first["state"], second["state"]) == ("RELEASED", "COMMITTED")
    assert len({first["reservation_id"], second["reservation_id"], None}) == 3
    assert await spent() == made.cost == (await emulator.calls())[-1].billed_micros


async def test_what_failures_have_cost_stays_and_they_count_no_more(
    generations, worker, emulator, spent
):
    # Nobody knows whether these were made, and nobody pays three times, unless it is asked for.
    await emulator.order("openai", "drop", step="accept", times=3)
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.attempt_count) == ("FAILED", 2)
    assert failed.cost > 0
    await generations.retry(failed.generation_id)
    made = await generations.ended(failed.generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 4)
    assert await spent() == made.cost > failed.cost


async def test_many_clicks_are_one_retry(generations, make_worker, emulator, ledger_url, spent):
    worker = make_worker()
    await worker.start()
    await emulator.order("openai", "refused")
    generation_id = (await generations.make(**OPENAI)).generation_id
    (before,) = await read_generation(ledger_url, generation_id, "requeue_number")
    await emulator.order("openai", "latency", seconds=1)
    async with asyncio.TaskGroup() as group:
        clicks = [group.create_task(generations.retry(generation_id)) for _ in range(20)]
    assert {state(click.result()) for click in clicks} <= {"QUEUED", "RUNNING"}
    assert await read_generation(ledger_url, generation_id, "requeue_number") == (before + 1,)
    made = await generations.ended(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    assert len(await emulator.calls(provider="openai")) == 2
    assert await spent() == made.cost


async def test_a_cancelling_that_came_too_late_does_not_stop_a_retry(
    generations, worker, emulator, ledger_url
):
    await emulator.order("openai", "refused")
    failed = await generations.make(**OPENAI)
    await _change(ledger_url, failed.generation_id, "cancel_time = now()")
    await generations.retry(failed.generation_id)
    assert state(await generations.ended(failed.generation_id)) == "SUCCEEDED"


@pytest.mark.parametrize("ended", ["SUCCEEDED", "DENIED", "CANCELLED"])
async def test_only_what_failed_is_retried(generations, ledger_url, ended):
    generation_id = (await generations.submit()).generation.generation_id
    await _change(ledger_url, generation_id, f"state = '{ended}', end_time = now()")
    refusal = await refused(generations.retry(generation_id))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "GENERATION_STATE")
    assert refusal.metadata["state"] == ended
    assert state(await generations.get(generation_id)) == ended


async def test_what_is_past_its_deadline_is_not_retried(generations, ledger_url):
    generation_id = (await generations.submit()).generation.generation_id
    past = datetime(2026, 1, 1, tzinfo=UTC)
    await _change(
        ledger_url, generation_id, f"state = 'FAILED', end_time = now(), deadline_time = '{past}'"
    )
    refusal = await refused(generations.retry(generation_id))
    assert refusal.reason == "GENERATION_STATE"
    assert "deadline" in refusal.message


async def test_what_is_under_way_is_answered_as_it_is(generations):
    taken = (await generations.submit()).generation
    assert await generations.retry(taken.generation_id) == taken


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_what_is_not_there_is_neither_cancelled_nor_retried(generations, verb):
    call = getattr(generations, verb)
    assert (await refused(call(f"acme/{new_key()}"))).reason == "NOT_FOUND"
    assert (await refused(call("acme"))).fields == ["generation_id"]


async def test_a_job_is_there_at_once(generations, emulator, make_worker):
    # The reconciler would take a minute; the retry itself has enqueued it.
    worker = make_worker(WORKERS_RECONCILE_S="60")
    await worker.start()
    await emulator.order("openai", "refused")
    failed = await generations.make(**OPENAI)
    await generations.retry(failed.generation_id)
    assert state(await generations.ended(failed.generation_id, 15)) == "SUCCEEDED"


async def _change(ledger_url, generation_id, sets):
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(
            f"UPDATE generation SET {sets} WHERE generation_id = %s", [generation_id]
        )


async def test_a_child_is_submitted_where_a_retry_is_refused(generations, worker, emulator):
    made = await generations.make(**OPENAI)
    refusal = await refused(generations.retry(made.generation_id))
    assert "parent_id" in refusal.message
    request = messages.SubmitGenerationRequest(
        idempotency_key=new_key(), account="acme", parent_id=made.generation_id
    )
    answer = await generations.stub.SubmitGeneration(request, metadata=generations.metadata)
    child = await generations.ended(answer.generation.generation_id)
    assert (state(child), child.cached) == ("SUCCEEDED", "")
    assert len(await emulator.calls(provider="openai")) == 2
