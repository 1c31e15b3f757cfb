"""Images by every provider through the whole product: what is charged is what would be billed."""

from __future__ import annotations

import pytest

from generating import state
from workers.emulator.pictures import PRICES

LIMIT = 10_000_000
BUDGET = ("acme", "usd-day")
MODELS = [
    ("fal", "fal-ai/flux/schnell", 2),
    ("huggingface", "stabilityai/stable-diffusion-xl-base-1.0", 2),
    ("novita", "sd_xl_base_1.0.safetensors", 2),
    ("novita", "flux-1-schnell", 1),
    ("stability", "stable-image-core", 2),
]


@pytest.fixture
def authority_settings(authority_settings):
    """An authority with an operator's prices of what has none in our catalogue."""
    return authority_settings.model_copy(update={"catalogue": PRICES})


@pytest.fixture
async def worker(stubs, make_worker, emulator):
    """A worker that has every provider, and the same prices."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    made = make_worker(**emulator.environment, PAYMASTER_CATALOGUE=str(PRICES))
    await made.start()
    return made


@pytest.fixture
def spent(stubs):
    """A function that returns what was committed, when nothing is held and the books balance."""

    async def read():
        assert await stubs.differences() == []
        reserved, committed, _, _ = (await stubs.balance("acme"))[BUDGET]
        assert reserved == 0
        return committed

    return read


async def test_each_provider_is_charged_as_it_bills(generations, worker, emulator, spent):
    total = 0
    for provider, model, count in MODELS:
        made = await generations.make(prompt=f"a windmill by {model}", model=model, count=count)
        assert (state(made), made.provider, made.model) == ("SUCCEEDED", provider, model)
        assert len(made.artifacts) == count
        calls = await emulator.calls(provider=provider, prompt=f"a windmill by {model}")
        assert made.cost == sum(call.billed_micros for call in calls) > 0
        total += made.cost
    assert total == await spent()


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [("insufficient_quota", "auth_or_billing"), ("model_gone", "model_gone")],
)
async def test_what_a_provider_turns_away_costs_nothing(
    generations, worker, emulator, spent, scenario, reason
):
    # The first such answer may open a provider's breaker: each is asked once.
    for provider, model in {provider: model for provider, model, _ in MODELS}.items():
        await emulator.order(provider, scenario, match=model)
        made = await generations.make(prompt=f"a windmill by {model}", model=model)
        assert (state(made), made.error_reason, made.cost) == ("FAILED", reason, 0)
    assert await spent() == 0


async def test_a_model_that_loads_is_asked_again(generations, worker, emulator, spent):
    model = MODELS[1][1]
    await emulator.order("huggingface", "loading", seconds=0.2)
    made = await generations.make(prompt="a windmill", model=model)
    assert (state(made), made.attempt_count) == ("SUCCEEDED", 2)
    assert made.cost == await spent() > 0


async def test_of_several_calls_no_more_is_presumed_than_was_asked_for(
    generations, worker, emulator, spent
):
    await emulator.order("stability", "drop", step="accept", times=None)
    total = 0
    for count in (1, 4):
        lost = await generations.make(prompt=f"{count} mills", model=MODELS[-1][1], count=count)
        assert (state(lost), lost.error_reason) == ("FAILED", "timeout_unknown")
        calls = await emulator.calls(provider="stability", prompt=f"{count} mills")
        assert len(calls) == lost.attempt_count == 2
        assert lost.cost == sum(call.billed_micros for call in calls) > 0
        total += lost.cost
    assert await spent() == total
