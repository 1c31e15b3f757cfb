"""A worker dies at each step of a generation, before it and after it; another one goes on.

The pipeline runs in this process, on real stores, under the real authority. A step is every call
that it makes: of the store, the authority, the provider, the artifacts.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from authority.v1 import generation_service_pb2 as messages
from generating import state
from pipelines import Died, Fate
from workers.main import now

MODELS = {"openai": "gpt-image-2", "fal": "fal-ai/flux/dev"}
# Where a death leaves a call of which nobody can say whether it was made: it is presumed spent.
UNKNOWN = {
    "openai": {
        ("write_dispatch", "after"),
        ("generate", "before"),
        ("generate", "after"),
        ("put", "before"),
        ("put", "after"),
        ("write_answer", "before"),
    },
    # Its jobs are asked for by their id, once that is written down.
    "fal": {
        ("write_dispatch", "after"),
        ("generate", "before"),
        ("write_remote_id", "before"),
    },
}


@pytest.mark.parametrize("provider", MODELS)
async def test_a_death_at_any_step_loses_nothing_and_pays_nothing_twice(
    provider, generations, run, stubs, emulator, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 100_000_000)
    whole = Fate()
    made = (await generations.submit(prompt="whole", model=MODELS[provider])).generation
    await run(made.generation_id, whole)
    assert UNKNOWN[provider] <= {
        (name, moment) for name in whole.steps for moment in ("before", "after")
    }
    for number, name in enumerate(whole.steps, start=1):
        for moment in ("before", "after"):
            prompt = f"{moment} {name} {number}"
            before = await committed()
            made = (await generations.submit(prompt=prompt, model=MODELS[provider])).generation
            await run(made.generation_id, Fate(number, moment))
            made = await generations.get(made.generation_id)
            rows = await attempts(made.generation_id)
            charged = sum(row["charged_micros"] for row in rows)
            assert await committed() - before == made.cost == charged, prompt
            calls = await emulator.calls(provider=provider, step="submit", prompt=prompt)
            if (name, moment) in UNKNOWN[provider] and provider == "fal":
                # It may have the job, and is never given another.
                assert (state(made), made.error_reason) == ("FAILED", "outcome_unknown"), prompt
                assert [row["presumed_spent"] for row in rows] == [True], prompt
                assert made.cost == rows[0]["estimate_micros"], prompt
                assert len(calls) <= 1, prompt
                continue
            assert state(made) == "SUCCEEDED", prompt
            if (name, moment) in UNKNOWN[provider]:
                assert [row["presumed_spent"] for row in rows] == [True, False], prompt
                assert rows[0]["charged_micros"] == rows[0]["estimate_micros"], prompt
                assert sum(call.billed_micros for call in calls) <= made.cost, prompt
            else:
                assert [row["presumed_spent"] for row in rows] == [False], prompt
                assert [call.billed_micros for call in calls] == [made.cost], prompt
            for artifact in made.artifacts:
                assert (await generations.download(artifact.artifact_id))[0]
    assert await stubs.differences() == []


async def test_a_hold_that_is_too_old_is_given_back_and_made_anew(
    generations, run, stubs, emulator, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 300_000)
    made = (await generations.submit(model=MODELS["openai"])).generation
    await run(
        made.generation_id,
        Fate("reserve", "after"),  # It has reserved, and has not written that down.
        clock=lambda: now() + timedelta(minutes=61),
    )
    made = await generations.get(made.generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    first, _ = await attempts(made.generation_id)
    assert (first["state"], first["error_reason"]) == ("RELEASED", "hold_expired")
    assert await committed() == made.cost
    assert len(await emulator.calls(provider="openai")) == 1


async def test_a_worker_that_lacks_the_provider_that_was_chosen_pays_nothing_for_it(
    generations, run, stubs, emulator, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 300_000)
    made = (await generations.submit(quality="premium")).generation
    # The first worker has reserved, and has not written that down.
    await run(made.generation_id, Fate("reserve", "after"), lacking=["openai"])
    first, second = await attempts(made.generation_id)
    assert [option["provider"] for option in first["options"]][:1] == ["openai"]
    assert (first["state"], first["error_reason"]) == ("RELEASED", "no_live_provider")
    made = await generations.get(made.generation_id)
    assert (state(made), second["provider"]) == ("SUCCEEDED", "fal")
    assert not second["presumed_spent"]
    assert await committed() == made.cost == second["charged_micros"]
    assert await emulator.calls(provider="openai") == []


async def test_a_reply_lost_before_the_call_charges_no_call_that_was_not_made(
    generations, run, stubs, emulator, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    whole = Fate()
    made = (await generations.submit(prompt="whole", model=MODELS["openai"])).generation
    await run(made.generation_id, whole)
    before = await committed()
    made = (await generations.submit(model=MODELS["openai"])).generation
    number = 1 + whole.steps.index("write_dispatch")
    await run(made.generation_id, Fate(number, "reply"))
    made = await generations.get(made.generation_id)
    assert state(made) == "SUCCEEDED"
    (call,) = await emulator.calls(provider="openai", prompt=made.prompt)
    assert [row["presumed_spent"] for row in await attempts(made.generation_id)] == [False]
    assert await committed() - before == made.cost == call.billed_micros


async def test_a_generation_that_ends_every_worker_is_given_up(
    generations, run, stubs, emulator, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 300_000)
    made = (await generations.submit(model=MODELS["openai"])).generation
    await run(made.generation_id, *(Fate(1, "before") for _ in range(20)))
    made = await generations.get(made.generation_id)
    assert (state(made), made.error_reason) == ("FAILED", "internal")
    assert [row["state"] for row in await attempts(made.generation_id)] == []
    assert await emulator.calls() == []


class DiesAsking(Fate):
    """Dies whenever a provider is asked for a job."""

    async def step(self, name, call):
        if name == "resume":
            raise Died
        return await super().step(name, call)


async def test_a_job_that_ends_every_worker_that_asks_for_it_is_given_up_and_paid(
    generations, run, stubs, emulator, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    whole = Fate()
    made = (await generations.submit(prompt="whole", model=MODELS["fal"])).generation
    await run(made.generation_id, whole)
    before = await committed()
    made = (await generations.submit(model=MODELS["fal"])).generation
    first = Fate(1 + whole.steps.index("write_remote_id"), "after")
    await run(made.generation_id, first, *(DiesAsking() for _ in range(20)))
    made = await generations.get(made.generation_id)
    assert (state(made), made.error_reason) == ("FAILED", "outcome_unknown")
    (attempt,) = await attempts(made.generation_id)
    assert attempt["presumed_spent"]
    assert await committed() - before == made.cost == attempt["estimate_micros"]
    assert len(await emulator.calls(provider="fal", step="submit", prompt=made.prompt)) == 1


async def test_a_job_that_cannot_be_read_for_a_while_is_never_submitted_again(
    generations, run, stubs, emulator, committed, attempts, monkeypatch
):
    monkeypatch.setattr("workers.making.RESUME_DELAY_S", 0.1)
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    await emulator.order("fal", "model_gone", step="status", times=2)
    made = (await generations.submit(model=MODELS["fal"])).generation
    await run(made.generation_id)
    made = await generations.get(made.generation_id)
    assert state(made) == "SUCCEEDED"
    (call,) = await emulator.calls(provider="fal", step="submit")
    assert [row["presumed_spent"] for row in await attempts(made.generation_id)] == [False]
    assert await committed() == made.cost == call.billed_micros


async def test_a_print_that_died_with_its_worker_is_made_anew_and_paid_once(
    generations, run, stubs, committed, attempts
):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    picture = (await generations.submit(model=MODELS["openai"])).generation
    await run(picture.generation_id)
    before = await committed()
    given = messages.Settings(references=[f"{picture.generation_id}/0"])
    whole = Fate()
    fields = {"model": "print-png", "size": "A5", "settings": given}
    made = (await generations.submit(prompt="whole", **fields)).generation
    await run(made.generation_id, whole)
    price = await committed() - before
    made = (await generations.submit(prompt="again", **fields)).generation
    await run(made.generation_id, Fate(1 + whole.steps.index("generate"), "after"))
    made = await generations.get(made.generation_id)
    assert (state(made), made.cost) == ("SUCCEEDED", price)
    states = [row["state"] for row in await attempts(made.generation_id)]
    assert states == ["RELEASED", "COMMITTED"]
    assert await committed() - before == 2 * price > 0
