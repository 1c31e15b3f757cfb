"""When a provider fails, the next of its class is asked, under a reservation of its own."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from generating import read_generation, state
from generations.queue_control import pause, resume
from support import eventually

NAMED = {"model": "gpt-image-2", "quality": "high"}

pytestmark = pytest.mark.usefixtures("funded")


async def submits(emulator, provider):
    """Return the calls that asked a provider for work."""
    return await emulator.calls(provider=provider, step="submit")


@pytest.mark.parametrize(
    ("scenario", "order"),
    [
        ("unavailable", {"seconds": 1}),
        ("rate_limited", {"seconds": 60}),
        ("insufficient_quota", {}),
        ("model_gone", {}),
    ],
)
async def test_what_a_provider_refuses_the_next_one_makes(
    generations, worker, emulator, spent, attempts, scenario, order
):
    await emulator.order("openai", scenario, times=None, **order)
    made = await generations.make()
    assert (state(made), made.provider, made.downgraded) == ("SUCCEEDED", "fal", False)
    first, second = await attempts(made.generation_id)
    assert (first["provider"], first["state"], first["elsewhere"]) == ("openai", "RELEASED", True)
    assert first["error_class"]
    assert first["error_body"]
    assert (second["provider"], second["state"]) == ("fal", "COMMITTED")
    assert first["reservation_id"] != second["reservation_id"]
    assert len(await submits(emulator, "openai")) == 1
    (call,) = await submits(emulator, "fal")
    assert await spent() == made.cost == call.billed_micros


async def test_a_provider_that_wants_a_moment_is_waited_for_by_all(
    generations, worker, emulator, attempts
):
    await emulator.order("openai", "rate_limited", seconds=3, match="first")
    first = (await generations.submit(prompt="the first")).generation.generation_id

    async def was_refused():
        return [row["error_reason"] for row in await attempts(first)] == ["rate_limited"]

    await eventually(was_refused, 20)
    second = (await generations.submit(prompt="the second")).generation.generation_id
    for generation_id, count in ((first, 2), (second, 1)):
        made = await generations.ended(generation_id)
        assert (state(made), made.provider) == ("SUCCEEDED", "openai")
        assert made.attempt_count == count
    assert await submits(emulator, "fal") == []


async def test_what_a_provider_may_have_done_is_paid_and_made_elsewhere(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "server_error", step="accept")
    made = await generations.make()
    assert (state(made), made.provider) == ("SUCCEEDED", "fal")
    lost, served = await attempts(made.generation_id)
    assert (lost["presumed_spent"], served["presumed_spent"]) == (True, False)
    assert await spent() == made.cost == lost["charged_micros"] + served["charged_micros"]


async def test_a_model_that_was_named_is_waited_for(generations, worker, emulator, attempts):
    await emulator.order("openai", "unavailable", seconds=1)
    made = await generations.make(**NAMED)
    assert (state(made), made.provider, made.attempt_count) == ("SUCCEEDED", "openai", 2)
    assert await submits(emulator, "fal") == []


@pytest.mark.parametrize("provider", ["openai"])
async def test_what_is_wrong_with_the_request_is_asked_of_nobody_else(
    generations, worker, emulator, provider
):
    await emulator.order(provider, "refused")
    failed = await generations.make()
    assert (state(failed), failed.error_reason) == ("FAILED", "content_refused")
    assert await submits(emulator, "fal") == []


async def test_when_nobody_is_left_those_that_may_have_recovered_are_asked_again(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "unavailable", seconds=1)
    await emulator.order("fal", "insufficient_quota", times=None)
    made = await generations.make()
    assert (state(made), made.provider, made.attempt_count) == ("SUCCEEDED", "openai", 3)
    tried = [row["provider"] for row in await attempts(made.generation_id)]
    assert tried == ["openai", "fal", "openai"]
    assert await spent() == made.cost


async def test_the_attempts_have_an_end(generations, worker, emulator, spent, attempts):
    await emulator.order("openai", "server_error", times=None)
    await emulator.order("fal", "server_error", times=None)
    failed = await generations.make()
    assert (state(failed), failed.error_reason) == ("FAILED", "provider_failed")
    rows = await attempts(failed.generation_id)
    assert [row["provider"] for row in rows] == ["openai", "fal"], "nobody pays three times"
    assert await spent() == failed.cost


async def test_a_provider_that_is_out_makes_way_before_anything_is_held(
    generations, worker, emulator, spent, attempts, authority_settings, ledger_url
):
    async with Redis.from_url(authority_settings.redis_url.get_secret_value()) as redis:
        await pause(redis, "provider:openai")
        made = await generations.make()
        assert (made.provider, made.attempt_count) == ("fal", 1)
        waiting = await generations.submit(prompt="by its name", **NAMED)
        generation_id = waiting.generation.generation_id

        async def turned_away():
            fence, found = await read_generation(ledger_url, generation_id, "fence", "state")
            return fence and found == "QUEUED"

        await eventually(turned_away)
        assert await attempts(generation_id) == []
        await resume(redis, "provider:openai")
        again = await generations.ended(generation_id, 40)
        assert (state(again), again.attempt_count) == ("SUCCEEDED", 1)
    assert await spent() == made.cost + again.cost


async def test_an_open_breaker_spares_the_next_generation_the_attempt(
    generations, worker, emulator, attempts
):
    await emulator.order("openai", "insufficient_quota", times=None)
    first = await generations.make()
    second = await generations.make(prompt="another")
    assert (first.provider, first.attempt_count) == ("fal", 2)
    assert (second.provider, second.attempt_count) == ("fal", 1)
