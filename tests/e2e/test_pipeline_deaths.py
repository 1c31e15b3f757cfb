"""A worker dies at each step of a generation, before it and after it; another one goes on.

The pipeline runs in this process, on real stores, under the real authority. A step is every call
that it makes: of the store, the authority, the provider, the artifacts.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from authorities import TOKEN
from clients import AuthorityClient
from generating import state
from generations.artifacts import ArtifactStore
from generations.catalogue import Catalogue
from workers.database import make_pool
from workers.limits import Limits, LimitSettings
from workers.main import now
from workers.pipeline import Pipeline
from workers.providers.registry import live_providers
from workers.providers.settings import ProviderSettings
from workers.rows import Claim
from workers.runner import TryLater
from workers.store import WorkStore

LEASE_S = 0.1
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


class Died(BaseException):
    """What no part of the pipeline may catch, like the kill that it stands for."""


class Fate:
    """Numbers the steps of a run, and lets it die at one of them."""

    def __init__(self, number=0, moment="before"):
        self.number = number
        self.moment = moment
        self.steps = []

    def over(self, part):
        """Return the part, with its steps watched."""
        return _Watched(part, self)

    async def step(self, name, call):
        self.steps.append(name)
        dies = len(self.steps) == self.number
        if dies and self.moment == "before":
            raise Died
        result = await call()
        if dies:
            raise Died
        return result


class _Watched:
    def __init__(self, part, fate):
        self._part = part
        self._fate = fate

    def __getattr__(self, name):
        found = getattr(self._part, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def watched(*args, **kwargs):
            return await self._fate.step(name, lambda: found(*args, **kwargs))

        return watched


@pytest.fixture
async def run(authority_address, authority_settings, ledger_url, redis_url, emulator):
    """A function that runs a generation to its end, the first times under fates."""
    pool = make_pool(ledger_url, size_max=4)
    await pool.open()
    store = WorkStore(pool)
    providers = live_providers(
        ProviderSettings(
            OPENAI_API_KEY=emulator.openai_key,
            OPENAI_BASE_URL=emulator.openai_base_url,
            FAL_KEY=emulator.fal_key,
            FAL_QUEUE_URL=emulator.fal_queue_url,
        )
    )
    artifacts = ArtifactStore(authority_settings.artifacts)
    redis = Redis.from_url(redis_url)
    limits = Limits(redis, LimitSettings(), lease_s=LEASE_S)

    async def run(generation_id, *fates, clock=now):
        left = list(fates)
        while True:
            claim = await store.claim(generation_id, "worker", LEASE_S)
            if claim is None:
                return
            if not isinstance(claim, Claim):
                await asyncio.sleep(claim)
                continue
            fate = left.pop(0) if left else Fate()
            pipeline = Pipeline(
                fate.over(store),
                fate.over(authority),
                {name: fate.over(provider) for name, provider in providers.items()},
                fate.over(artifacts),
                Catalogue.load(),
                limits,
                clock if fate not in fates else now,
            )
            with suppress(Died, TryLater):
                await pipeline.run(claim)

    async with AuthorityClient(authority_address, token=TOKEN, timeout=10) as authority:
        yield run
    for provider in providers.values():
        await provider.aclose()
    await redis.aclose()
    await pool.close()


@pytest.fixture
def committed(stubs):
    """A function that returns what was committed, when nothing is held."""

    async def read():
        reserved, amount, _, _ = (await stubs.balance("acme"))["acme", "usd-day"]
        assert reserved == 0
        return amount

    return read


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
        Fate(4, "after"),  # It has reserved, and has not written that down.
        clock=lambda: now() + timedelta(minutes=61),
    )
    made = await generations.get(made.generation_id)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    first, _ = await attempts(made.generation_id)
    assert (first["state"], first["error_reason"]) == ("RELEASED", "hold_expired")
    assert await committed() == made.cost
    assert len(await emulator.calls(provider="openai")) == 1


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
