"""Generations made by a worker process under the real authority, with the providers emulated."""

from __future__ import annotations

import hashlib
import shutil
import signal

import pytest
from redis.asyncio import Redis

from generating import LIMIT, state
from support import eventually

OPENAI = {"model": "gpt-image-2", "quality": "high"}
FAL = {"model": "fal-ai/flux/dev"}
SANDBOX = {"model": "sandbox-image"}


pytestmark = pytest.mark.usefixtures("funded")


async def submits(emulator, provider):
    """Return the calls that asked a provider for work."""
    return await emulator.calls(provider=provider, step="submit")


@pytest.mark.parametrize(
    ("provider", "fields"), [("openai", OPENAI), ("fal", FAL), ("sandbox", SANDBOX)]
)
async def test_a_generation_is_made_committed_and_stored(
    generations, worker, emulator, spent, provider, fields
):
    made = await generations.make(prompt="a windmill", count=2, **fields)
    assert (state(made), made.provider, made.model) == ("SUCCEEDED", provider, fields["model"])
    assert (made.downgraded, made.cached, made.attempt_count) == (False, "", 1)
    if provider == "sandbox":
        assert made.cost == 160_000
    else:
        (call,) = await submits(emulator, provider)
        assert made.cost == call.billed_micros
    assert made.cost == await spent()
    assert len(made.artifacts) == 2
    for artifact in made.artifacts:
        content, _ = await generations.download(artifact.artifact_id)
        assert content.startswith(b"\x89PNG")
        assert hashlib.sha256(content).hexdigest() == artifact.sha256


async def test_the_same_again_costs_nothing(generations, worker, emulator, spent):
    first = await generations.make(prompt="a quiet harbour", **OPENAI)
    exact = await generations.make(prompt="a quiet harbour", **OPENAI)
    normalised = await generations.make(
        prompt="Please make a picture of a QUIET harbour.", **OPENAI
    )
    for again, match in ((exact, "exact"), (normalised, "normalised")):
        assert (state(again), again.cached) == ("SUCCEEDED", match)
        assert (again.cost, again.saved) == (0, first.cost)
        assert (again.model, again.attempt_count, again.reservation_id) == (first.model, 0, "")
        assert [found.sha256 for found in again.artifacts] == [
            found.sha256 for found in first.artifacts
        ]
        content, _ = await generations.download(again.artifacts[0].artifact_id)
        assert hashlib.sha256(content).hexdigest() == first.artifacts[0].sha256
    assert len(await submits(emulator, "openai")) == 1
    assert await spent() == first.cost
    other = await generations.make(prompt="a quiet harbour", count=2, **OPENAI)
    assert other.cached == ""


async def test_what_is_not_in_the_store_any_more_is_made_again(
    generations, worker, authority_settings, spent
):
    first = await generations.make(prompt="a bridge", **SANDBOX)
    shutil.rmtree(f"{authority_settings.artifacts}/acme")
    again = await generations.make(prompt="a bridge", **SANDBOX)
    assert (state(again), again.cached, again.cost) == ("SUCCEEDED", "", first.cost)
    assert (await generations.download(again.artifacts[0].artifact_id))[0]
    assert (await generations.make(prompt="a bridge", **SANDBOX)).cached == "exact"
    assert await spent() == 2 * first.cost


async def test_a_soft_cap_downgrades_and_keeps_the_better_cache_clean(generations, stubs, worker):
    await stubs.set_budget("acme", 100_000, window="HOUR", enforcement="DOWNGRADE", name="soft")
    lesser = await generations.make(prompt="a fox")
    assert (state(lesser), lesser.downgraded, lesser.quality) == ("SUCCEEDED", True, "premium")
    again = await generations.make(prompt="a fox")
    assert (again.downgraded, again.cached) == (True, ""), "a premium request is not served by it"
    standard = await generations.make(prompt="a fox", quality="standard")
    assert (standard.downgraded, standard.cached) == (False, "exact")


async def test_a_denied_generation_says_which_budget(generations, stubs, worker, spent, attempts):
    await stubs.account("acme/bob")
    await stubs.set_budget("acme/bob", 10_000, name="pocket-money")
    denied = await generations.make("acme/bob", **OPENAI)
    assert (state(denied), denied.error_reason, denied.cost) == ("DENIED", "BUDGET_EXHAUSTED", 0)
    assert "pocket-money of acme/bob allows 0.01 USD per day" in denied.error_message
    assert denied.attempt_count == 1
    (attempt,) = await attempts(denied.generation_id)
    assert attempt["state"] == "DENIED"
    assert await spent() == 0


async def test_open_holds_in_the_way_deny_too(generations, stubs, worker):
    await stubs.reserve("acme", {"USD": LIMIT - 1})
    denied = await generations.make(**OPENAI)
    assert (state(denied), denied.error_reason) == ("DENIED", "BUDGET_BUSY")


async def test_an_account_without_a_budget_is_denied(generations, stubs, worker):
    await stubs.account("poor")
    denied = await generations.make("poor", **OPENAI)
    assert (state(denied), denied.error_reason) == ("DENIED", "NO_BUDGET")


async def test_a_refused_prompt_costs_nothing_and_is_not_tried_again(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "refused")
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.error_reason) == ("FAILED", "content_refused")
    assert "safety system" in failed.error_message
    assert (failed.cost, failed.attempt_count, len(failed.artifacts)) == (0, 1, 0)
    assert await spent() == 0
    assert [row["state"] for row in await attempts(failed.generation_id)] == ["RELEASED"]
    assert len(await submits(emulator, "openai")) == 1


async def test_a_rate_limit_is_waited_out_and_charged_once(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "rate_limited", seconds=0.5)
    made = await generations.make(**OPENAI)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    first, second = await attempts(made.generation_id)
    assert (first["state"], first["error_reason"]) == ("RELEASED", "rate_limited")
    assert second["state"] == "COMMITTED"
    assert first["reservation_id"] != second["reservation_id"]
    refused, served = await submits(emulator, "openai")
    assert (refused.billed_micros, served.billed_micros) == (0, made.cost)
    assert await spent() == made.cost


async def test_a_provider_that_stays_away_fails_the_generation(
    generations, worker, emulator, spent
):
    await emulator.order("openai", "rate_limited", seconds=0, times=None)
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.error_reason, failed.attempt_count) == (
        "FAILED",
        "rate_limited",
        5,
    )
    assert await spent() == 0


async def test_an_answer_that_never_came_is_presumed_spent_once_and_tried_once_more(
    generations, worker, emulator, spent, attempts
):
    await emulator.order("openai", "drop", step="accept")
    made = await generations.make(**OPENAI)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    lost, served = await attempts(made.generation_id)
    assert (lost["presumed_spent"], lost["state"]) == (True, "COMMITTED")
    assert lost["charged_micros"] == lost["estimate_micros"]
    assert (served["presumed_spent"], served["state"]) == (False, "COMMITTED")
    assert made.cost == lost["charged_micros"] + served["charged_micros"] == await spent()
    billed = sum(call.billed_micros for call in await submits(emulator, "openai"))
    assert billed <= made.cost


async def test_nobody_pays_three_times(generations, worker, emulator, spent):
    await emulator.order("openai", "drop", step="accept", times=None)
    failed = await generations.make(**OPENAI)
    assert (state(failed), failed.error_reason) == ("FAILED", "timeout_unknown")
    assert failed.attempt_count == 2
    assert await spent() == failed.cost > 0


async def test_a_killed_worker_makes_the_account_pay_for_what_was_asked_and_no_more(
    generations, make_worker, emulator, spent, attempts
):
    worker = make_worker()
    await worker.start()
    await emulator.order("openai", "hang", step="accept")
    generation_id = (await generations.submit(**OPENAI)).generation.generation_id

    async def hangs():
        # One that is cut off while it still arrives leaves the order to hang to the next.
        return any(call.billed_micros for call in await submits(emulator, "openai"))

    await eventually(hangs)
    await worker.send(signal.SIGKILL)
    await worker.start()
    made = await generations.ended(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    lost, _ = await attempts(generation_id)
    assert (lost["error_reason"], lost["presumed_spent"]) == ("outcome_unknown", True)
    assert await spent() == made.cost
    calls = await submits(emulator, "openai")
    assert len(calls) == 2
    assert sum(call.billed_micros for call in calls) <= made.cost


async def test_a_job_of_a_killed_worker_is_asked_for_and_not_made_again(
    generations, make_worker, emulator, spent
):
    worker = make_worker()
    await worker.start()
    await emulator.order("fal", "hang", step="status")
    generation_id = (await generations.submit(**FAL)).generation.generation_id
    await eventually(lambda: emulator.calls(provider="fal", step="status"))
    await worker.send(signal.SIGKILL)
    await worker.start()
    made = await generations.ended(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    (call,) = await submits(emulator, "fal")
    assert await spent() == made.cost == call.billed_micros


async def test_a_worker_that_comes_back_from_the_dead_changes_nothing(
    generations, make_worker, emulator, spent, attempts
):
    frozen, other = make_worker(), make_worker()
    await frozen.start()
    await emulator.order("openai", "latency", step="accept", seconds=0.5)
    generation_id = (await generations.submit(**OPENAI)).generation.generation_id
    await eventually(lambda: submits(emulator, "openai"))
    frozen.signal(signal.SIGSTOP)
    await other.start()
    made = await generations.ended(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    frozen.signal(signal.SIGCONT)
    await eventually(lambda: "claim_lost" in frozen.log_file.read_text())
    assert await frozen.send(signal.SIGTERM) == 0
    assert await generations.get(generation_id) == made
    assert [row["state"] for row in await attempts(generation_id)] == ["COMMITTED"] * 2
    assert await spent() == made.cost


async def test_a_worker_told_to_stop_finishes_its_work(generations, make_worker, emulator, spent):
    worker = make_worker()
    await worker.start()
    await emulator.order("openai", "latency", seconds=1)
    generation_id = (await generations.submit(**OPENAI)).generation.generation_id
    await eventually(lambda: submits(emulator, "openai"))
    assert await worker.send(signal.SIGTERM) == 0
    made = await generations.get(generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 1)
    assert await spent() == made.cost


async def test_two_workers_make_each_generation_once(generations, make_worker, emulator, spent):
    for worker in (make_worker(), make_worker()):
        await worker.start()
    prompts = [f"drawing number {number}" for number in range(12)]
    ids = [
        (await generations.submit(prompt=prompt, **OPENAI)).generation.generation_id
        for prompt in prompts
    ]
    made = [await generations.ended(generation_id) for generation_id in ids]
    assert {state(generation) for generation in made} == {"SUCCEEDED"}
    calls = await submits(emulator, "openai")
    assert sorted(call.prompt for call in calls) == sorted(prompts)
    assert await spent() == sum(generation.cost for generation in made)


async def test_no_prompt_is_logged_or_in_redis(generations, worker, emulator, authority_settings):
    secret = "a lighthouse nobody may know of"
    await emulator.order("openai", "rate_limited", seconds=0)
    await emulator.order("openai", "hang", step="accept", match=secret)
    await generations.submit(prompt=secret, **OPENAI)
    await eventually(lambda: emulator.calls(provider="openai", prompt=secret))
    async with Redis.from_url(authority_settings.redis_url.get_secret_value()) as redis:
        keys = await redis.keys("*")
        assert keys
        for key in keys:
            assert secret.encode() not in (await redis.dump(key) or b"")
            for value in await _values(redis, key):
                assert not value.startswith(b"\x80"), "a pickle"
    assert secret not in worker.log_file.read_text()


async def _values(redis, key):
    """Return everything that a key holds."""
    kind = (await redis.type(key)).decode()
    if kind == "string":
        return [await redis.get(key) or b""]
    if kind == "hash":
        return [part for item in (await redis.hgetall(key)).items() for part in item]
    if kind == "stream":
        entries = await redis.xrange(key)
        return [part for _, fields in entries for item in fields.items() for part in item]
    reads = {"zset": redis.zrange, "list": redis.lrange}
    if kind in reads:
        return await reads[kind](key, 0, -1)
    assert kind in ("set", "none"), kind
    return list(await redis.smembers(key)) if kind == "set" else []
