"""Stability: the real client against the emulator over TCP, error by error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from providing import bill, billed, failure, ignore, posts, wanted
from workers.emulator import Emulator, running_emulator
from workers.providers.errors import (
    AuthOrBilling,
    ContentRefused,
    InvalidRequest,
    ModelGone,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    Unavailable,
)
from workers.providers.pictures import read_picture
from workers.providers.stability import Stability

CORE = "stable-image-core"


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def provider(emulator: Emulator) -> AsyncIterator[Stability]:
    """A provider at the emulator."""
    made = Stability(emulator.stability_key, emulator.stability_base_url, seconds_max=5)
    yield made
    await made.aclose()


@pytest.mark.parametrize("model", [CORE, "stable-image-ultra", "sd3.5-large", "sd3.5-medium"])
async def test_an_image_is_made_and_billed_by_its_credits(emulator, provider, model):
    request = wanted(model, negative_prompt="rain", seed=7, output_format="webp")
    result = await provider.generate(request, on_submitted=ignore)
    [file] = result.files
    assert (file.media_type, file.width, file.height) == ("image/webp", 1024, 1024)
    assert result.request_id
    assert 0 < bill(request, result.usage) == await billed(emulator, request) == bill(request, None)
    assert await posts(emulator, request) == 1


@pytest.mark.parametrize("size", ["1024x1536", "1536x1024", "1024x576", "1280x1024"])
async def test_the_size_gives_the_proportions(provider, size):
    [file] = (await provider.generate(wanted(CORE, size=size), on_submitted=ignore)).files
    assert f"{file.width}x{file.height}" == size


async def test_an_image_that_is_given_is_sent(emulator, provider):
    [given] = (await provider.generate(wanted(CORE), on_submitted=ignore)).files
    request = wanted("sd3.5-large", references=("acme/1/0",))
    request = replace(request, references=(read_picture(given.content),))
    assert len((await provider.generate(request, on_submitted=ignore)).files) == 1
    assert await posts(emulator, request) == 1


async def test_several_images_are_several_calls(emulator, provider):
    request = replace(wanted(CORE), count=2)
    result = await provider.generate(request, on_submitted=ignore)
    assert (len(result.files), result.usage.images) == (2, 2)
    assert bill(request, result.usage) == await billed(emulator, request)


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable", "retry_after"),
    [
        ("refused", {}, ContentRefused, "no", False, None),
        ("refused", {"step": "accept"}, ContentRefused, "unknown", False, None),
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True, 7),
        ("rate_limited", {}, RateLimited, "no", True, 60),
        ("unavailable", {"seconds": 2}, Unavailable, "no", True, 2),
        ("unavailable", {}, Unavailable, "unknown", True, None),
        ("server_error", {"status": 502}, ProviderFailed, "unknown", True, None),
        ("model_gone", {}, ModelGone, "no", False, None),
        ("insufficient_quota", {}, AuthOrBilling, "no", False, None),
        ("garbage", {"step": "accept"}, ProviderFailed, "yes", True, None),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True, None),
        ("hang", {"step": "accept"}, TimeoutUnknown, "unknown", True, None),
    ],
)
async def test_each_fault_has_its_error_and_is_one_call(
    emulator, scenario, more, error, dispatched, retryable, retry_after
):
    request = wanted(CORE)
    await emulator.order("stability", scenario, match=request.prompt, **more)
    hasty = Stability(emulator.stability_key, emulator.stability_base_url, seconds_max=0.3)
    found = await failure(hasty, request)
    await hasty.aclose()
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == retry_after
    assert await posts(emulator, request) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "1024x768"},
        {"size": "auto"},
        {"prompt": "x" * 10_001},
        {"references": (1, 2)},
    ],
)
async def test_what_it_does_not_take_is_never_sent(emulator, provider, changes):
    request = replace(wanted(CORE), **changes)
    assert type(await failure(provider, request)) is InvalidRequest
    assert await posts(emulator, request) == 0


async def test_steps_are_none_of_its_settings(emulator, provider):
    request = wanted(CORE, steps=20)
    assert type(await failure(provider, request)) is InvalidRequest
    assert await posts(emulator, request) == 0


async def test_what_it_refuses_costs_nothing(provider):
    found = await failure(provider, wanted(CORE, seed=2**32))
    assert type(found) is InvalidRequest
    assert (found.dispatched, "seed" in found.message) == ("no", True)


async def test_a_refused_key_is_told_without_the_key(emulator):
    made = Stability("sk-secret", emulator.stability_base_url, seconds_max=5)
    found = await failure(made, wanted(CORE))
    await made.aclose()
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r}"
