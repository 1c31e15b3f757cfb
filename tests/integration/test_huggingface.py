"""Hugging Face: the real client against the emulator over TCP, error by error."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from providing import bill, billed, failure, ignore, posts, wanted
from workers.emulator import Emulator, running_emulator
from workers.providers.base import ResumableProvider
from workers.providers.errors import (
    AuthOrBilling,
    ConnectFailed,
    InvalidRequest,
    ModelGone,
    ModelLoading,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    Unavailable,
)
from workers.providers.huggingface import HuggingFace

MODEL = "stabilityai/stable-diffusion-xl-base-1.0"


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def provider(emulator: Emulator) -> AsyncIterator[HuggingFace]:
    """A provider at the emulator."""
    made = HuggingFace(emulator.huggingface_key, emulator.huggingface_base_url, seconds_max=5)
    yield made
    await made.aclose()


@pytest.fixture
async def hasty(emulator: Emulator) -> AsyncIterator[HuggingFace]:
    """A provider that does not wait long for an answer."""
    made = HuggingFace(emulator.huggingface_key, emulator.huggingface_base_url, seconds_max=0.3)
    yield made
    await made.aclose()


async def test_an_image_is_made_and_billed_by_the_time_that_is_told(emulator, provider):
    request = wanted(MODEL, size="1024x768", steps=20, seed=7, negative_prompt="rain")
    result = await provider.generate(request, on_submitted=ignore)
    [file] = result.files
    assert (file.media_type, file.width, file.height) == ("image/png", 1024, 768)
    assert result.usage.seconds == Decimal("1.25")
    assert 0 < bill(request, result.usage) == await billed(emulator, request)
    assert bill(request, result.usage) <= bill(request, None)
    assert not isinstance(provider, ResumableProvider)


async def test_the_format_is_the_one_asked_for(provider):
    request = wanted(MODEL, size="512x512", output_format="webp")
    [file] = (await provider.generate(request, on_submitted=ignore)).files
    assert file.media_type == "image/webp"


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable", "retry_after"),
    [
        ("loading", {}, ModelLoading, "no", True, 20),
        ("loading", {"seconds": 35}, ModelLoading, "no", True, 35),
        ("loading", {"seconds": 600}, ModelLoading, "no", True, 60),
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True, 7),
        ("unavailable", {"seconds": 2}, Unavailable, "no", True, 2),
        ("unavailable", {}, Unavailable, "unknown", True, None),
        ("server_error", {"status": 500}, ProviderFailed, "unknown", True, None),
        ("model_gone", {}, ModelGone, "no", False, None),
        ("insufficient_quota", {}, AuthOrBilling, "no", False, None),
        ("garbage", {"step": "accept"}, ProviderFailed, "yes", True, None),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True, None),
        ("hang", {"step": "accept"}, TimeoutUnknown, "unknown", True, None),
    ],
)
async def test_each_fault_has_its_error_and_is_one_call(
    emulator, hasty, scenario, more, error, dispatched, retryable, retry_after
):
    request = wanted(MODEL, size="512x512")
    await emulator.order("huggingface", scenario, match=request.prompt, **more)
    found = await failure(hasty, request)
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == retry_after
    assert await posts(emulator, request) == 1


async def test_a_call_without_an_answer_tells_how_long_it_took(emulator, hasty):
    request = wanted(MODEL, size="512x512")
    await emulator.order("huggingface", "hang", step="accept", match=request.prompt)
    found = await failure(hasty, request)
    assert Decimal("0.3") <= found.usage.seconds < 5


async def test_several_images_are_several_calls_with_seeds_of_their_own(emulator, provider):
    request = replace(wanted(MODEL, size="512x512", seed=7), count=3)
    result = await provider.generate(request, on_submitted=ignore)
    assert len(result.files) == 3
    assert result.usage.images == 3
    assert result.usage.seconds == Decimal("3.75")
    assert await posts(emulator, request) == 3
    assert bill(request, result.usage) <= await billed(emulator, request) <= bill(request, None)


@pytest.mark.parametrize(
    ("scenario", "step", "images", "estimated"),
    [("rate_limited", "submit", 2, False), ("drop", "accept", 3, True)],
)
async def test_what_was_made_before_a_call_failed_is_the_result(
    emulator, provider, scenario, step, images, estimated
):
    request = replace(wanted(MODEL, size="512x512"), count=4)
    # The orders of a step are followed in turn.
    wait = {"step": step, "match": request.prompt, "seconds": 0, "times": 2}
    await emulator.order("huggingface", "latency", **wait)
    await emulator.order("huggingface", scenario, step=step, match=request.prompt)
    result = await provider.generate(request, on_submitted=ignore)
    assert len(result.files) == 2
    assert (result.usage.images, result.usage_estimated) == (images, estimated)
    assert await posts(emulator, request) == 3


async def test_the_first_call_that_fails_is_the_error(emulator, provider):
    request = replace(wanted(MODEL, size="512x512"), count=2)
    await emulator.order("huggingface", "loading", match=request.prompt)
    assert type(await failure(provider, request)) is ModelLoading


@pytest.mark.parametrize("changes", [{"size": "auto"}, {"size": "99999x99999"}])
async def test_what_no_model_takes_is_never_sent(emulator, provider, changes):
    request = replace(wanted(MODEL), **changes)
    assert type(await failure(provider, request)) is InvalidRequest
    assert await posts(emulator, request) == 0


async def test_a_model_that_is_not_served(provider):
    request = replace(wanted(MODEL), model="none-such/model")
    assert type(await failure(provider, request)) is ModelGone


async def test_a_closed_port_was_never_sent(emulator):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        made = HuggingFace(emulator.huggingface_key, url, seconds_max=5)
        found = await failure(made, wanted(MODEL))
        await made.aclose()
    assert type(found) is ConnectFailed
    assert (found.dispatched, found.usage) == ("no", None)


async def test_a_refused_key_is_told_without_the_key(emulator):
    made = HuggingFace("hf_secret", emulator.huggingface_base_url, seconds_max=5)
    found = await failure(made, wanted(MODEL))
    await made.aclose()
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r}"
