"""The real providers, asked for something small: only for whoever says so, and pays for it.

PAYMASTER_TEST_LIVE=1 switches them on, each if its key is in the environment. All of them together
cost less than a tenth of a USD. PAYMASTER_TEST_LIVE=videos makes a video too: the cheapest costs
more than the rest.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from generations.catalogue import Catalogue
from generations.pricing import price
from generations.settings import Settings
from workers.providers.base import Provider, ProviderRequest, ProviderResult, ResumableProvider
from workers.providers.errors import AuthOrBilling
from workers.providers.facts import FACTS
from workers.providers.registry import live_providers
from workers.providers.settings import ProviderSettings

VARIABLES = {facts.name: facts.variable for facts in FACTS if facts.name != "sandbox"}
VIDEOS = "minimax/h3/text-to-video"
# What to ask each for: the cheapest that it makes.
MODELS = {
    "openai": {"gpt-image-2.5-flare": "low", "gpt-6-luna": "standard"},
    "groq": {"openai/gpt-oss-20b": "standard"},
    "novita": {
        "meta-llama/llama-3.1-8b-instruct": "standard",
        "flux-1-schnell": "standard",
        "sd_xl_base_1.0.safetensors": "standard",
    },
    "fal": {"fal-ai/flux/schnell": "standard", VIDEOS: "standard"},
    "huggingface": {"stabilityai/stable-diffusion-xl-base-1.0": "standard"},
    "stability": {"stable-image-core": "standard"},
}
CASES = [(name, model) for name, models in MODELS.items() for model in models]

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("PAYMASTER_TEST_LIVE") not in ("1", "videos"),
        reason="PAYMASTER_TEST_LIVE=1 asks real providers, for money",
    ),
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
async def providers() -> AsyncIterator[dict[str, Provider]]:
    """Those whose keys are in the environment."""
    made = live_providers(ProviderSettings())
    yield made
    for provider in made.values():
        await provider.aclose()


def wanted(name: str, model: str) -> ProviderRequest:
    """Return a small request."""
    found = next(known for known in Catalogue.load().models() if known.name == model)
    is_chat = found.kind == "chat"
    sizes = {"chat": "", "video": "480p"}
    return ProviderRequest(
        kind=found.kind.value,
        model=model,
        prompt=f"Say what colour a fox is, in one word. ({uuid.uuid4()})",
        size=sizes[found.kind] if found.kind in sizes else min(found.sizes),
        quality=MODELS[name][model],
        count=1,
        attempt_id=f"live-{uuid.uuid4()}",
        user="",
        settings=Settings(max_tokens=300) if is_chat else Settings(),
    )


def bill(request: ProviderRequest, result: ProviderResult | None = None) -> int:
    """Return the bill, or the estimate without a result."""
    model = next(known for known in Catalogue.load().models() if known.name == request.model)
    return price(
        model,
        size=request.size,
        quality=request.quality,
        count=request.count,
        prompt=request.prompt,
        settings=request.settings,
        usage=result.usage if result else None,
    )


@pytest.mark.parametrize(("name", "model"), CASES)
async def test_it_makes_what_is_asked_for_within_the_estimate(providers, name, model):
    if name not in providers:
        pytest.skip(f"{VARIABLES[name]} is not set")
    if model == VIDEOS and os.environ["PAYMASTER_TEST_LIVE"] != "videos":
        pytest.skip("PAYMASTER_TEST_LIVE=videos pays for a video")
    remote_ids: list[str] = []

    async def on_submitted(remote_id: str) -> None:
        remote_ids.append(remote_id)

    request = wanted(name, model)
    result = await providers[name].generate(request, on_submitted=on_submitted)
    [file] = result.files
    assert file.content
    if request.kind == "chat":
        assert file.content.decode().strip()
        assert not result.usage_estimated
    else:
        assert (file.width or 0) > 0
    # A file may be a few frames longer than the seconds that were asked for.
    assert 0 < bill(request, result) <= bill(request) * (1.05 if model == VIDEOS else 1)
    if isinstance(providers[name], ResumableProvider) and remote_ids:
        again = await providers[name].resume(request, remote_ids[0])
        assert [one.content for one in again.files] == [file.content]


@pytest.mark.parametrize(("name", "model"), CASES)
async def test_a_wrong_key_is_refused_as_such_and_costs_nothing(name, model, monkeypatch):
    if not os.environ.get(VARIABLES[name]):
        pytest.skip(f"{VARIABLES[name]} is not set")
    monkeypatch.setenv(VARIABLES[name], "sk-00000000-0000-0000-0000-000000000000:0000")
    provider = live_providers(ProviderSettings())[name]
    with pytest.raises(AuthOrBilling) as caught:
        await provider.generate(wanted(name, model), on_submitted=never)
    await provider.aclose()
    assert caught.value.dispatched == "no"


async def never(remote_id: str) -> None:
    """Nothing is submitted with a wrong key."""
    raise AssertionError(remote_id)
