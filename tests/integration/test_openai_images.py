"""OpenAI's images: the real SDK against the emulator over TCP, error by error."""

from __future__ import annotations

import io
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date

import pytest
from PIL import Image

from generations.catalogue import Catalogue
from generations.pricing import price
from generations.settings import Settings
from workers.emulator import Emulator, running_emulator
from workers.emulator.openai_wire import TOKENS_PER_REFERENCE
from workers.providers.base import ProducedFile, ProviderRequest, ResumableProvider
from workers.providers.errors import (
    AuthOrBilling,
    ConnectFailed,
    ContentRefused,
    InvalidRequest,
    ModelGone,
    ProviderError,
    ProviderFailed,
    RateLimited,
    TimeoutUnknown,
    Unavailable,
)
from workers.providers.openai_images import OpenAIImages

TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def provider(emulator: Emulator) -> AsyncIterator[OpenAIImages]:
    """OpenAI as a worker has it, with a short patience."""
    async with opened(emulator.openai_base_url, emulator.openai_key) as made:
        yield made


@asynccontextmanager
async def opened(url: str, key: str) -> AsyncIterator[OpenAIImages]:
    """Open a provider for a while."""
    made = OpenAIImages(key, url, seconds_max=5)
    yield made
    await made.aclose()


@pytest.fixture
def wanted() -> ProviderRequest:
    """A request with a prompt of the test's own."""
    return ProviderRequest(
        kind="image",
        model="gpt-image-2",
        prompt=f"a red fox {uuid.uuid4()}",
        size="1024x1024",
        quality="low",
        count=1,
        attempt_id="attempt-1",
        user="5f2a",
    )


async def never(remote_id: str) -> None:
    """OpenAI has no remote ids."""
    raise AssertionError(remote_id)


async def failure(provider: OpenAIImages, request: ProviderRequest) -> ProviderError:
    """Return the error that a request gets."""
    with pytest.raises(ProviderError) as caught:
        await provider.generate(request, on_submitted=never)
    return caught.value


async def test_images_come_with_their_size_type_and_request_id(emulator, provider, wanted):
    request = replace(wanted, size="1536x1024", count=2)
    result = await provider.generate(request, on_submitted=never)
    assert [(file.media_type, file.width, file.height) for file in result.files] == [
        ("image/png", 1536, 1024)
    ] * 2
    assert result.files[0].content != result.files[1].content
    with Image.open(io.BytesIO(result.files[0].content)) as image:
        image.load()
        assert image.size == (1536, 1024)
    assert result.remote_id is None
    assert result.request_id is not None
    assert result.request_id.startswith("req_")
    [call] = await emulator.calls(prompt=request.prompt)
    assert (call.attempt, call.model, call.outcome) == ("attempt-1", "gpt-image-2", "made")


async def test_the_bill_by_usage_is_what_the_provider_bills_and_within_the_estimate(
    emulator, provider, wanted
):
    request = replace(wanted, count=3, quality="medium")
    result = await provider.generate(request, on_submitted=never)
    model = Catalogue.load().find(request.model, today=TODAY)
    figures = {"size": request.size, "quality": request.quality, "count": request.count}
    bill = price(model, prompt=request.prompt, usage=result.usage, **figures)
    [call] = await emulator.calls(prompt=request.prompt)
    assert 0 < bill == call.billed_micros <= price(model, prompt=request.prompt, **figures)
    assert result.usage.images == 3
    assert result.usage.image_output_tokens
    assert result.usage.text_input_tokens


async def test_size_and_quality_may_be_left_to_the_provider(provider, wanted):
    request = replace(wanted, size="auto", quality="auto", user="")
    result = await provider.generate(request, on_submitted=never)
    assert (result.files[0].width, result.files[0].height) == (1024, 1024)


@pytest.mark.parametrize(
    ("output_format", "media_type"),
    [("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")],
)
async def test_images_come_in_the_format_asked_for(provider, wanted, output_format, media_type):
    request = replace(wanted, settings=Settings(output_format=output_format))
    [file] = (await provider.generate(request, on_submitted=never)).files
    assert file.media_type == media_type
    with Image.open(io.BytesIO(file.content)) as image:
        image.load()
        assert image.get_format_mimetype() == media_type


@pytest.mark.parametrize("size", ["1024x1024", "1536x1024", "1024x1536"])
@pytest.mark.parametrize("quality", ["low", "medium", "high"])
async def test_every_size_and_quality_of_the_catalogue(provider, wanted, size, quality):
    request = replace(wanted, size=size, quality=quality)
    [file] = (await provider.generate(request, on_submitted=never)).files
    assert f"{file.width}x{file.height}" == size


def picture(colour: str, form: str = "PNG") -> ProducedFile:
    """Return a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, form)
    return ProducedFile(file.getvalue(), f"image/{form.lower()}", 64, 64)


async def test_references_are_edited_and_counted_as_input(emulator, provider, wanted):
    first, second, mask = picture("red"), picture("blue", "WEBP"), picture("white")
    edits = [
        replace(wanted, references=(first,)),
        replace(wanted, references=(first, second), settings=Settings(references=("a", "b"))),
        replace(wanted, references=(first, second), mask=mask),
    ]
    contents = []
    for request in edits:
        result = await provider.generate(request, on_submitted=never)
        contents.append(result.files[0].content)
        given = len(request.references) + (request.mask is not None)
        assert result.usage.image_input_tokens == given * TOKENS_PER_REFERENCE
    assert len(set(contents)) == 3
    calls = await emulator.calls(prompt=wanted.prompt)
    assert {call.path for call in calls} == {"/openai/v1/images/edits"}
    assert [call.attempt for call in calls] == ["attempt-1"] * 3


async def test_the_bill_of_an_edit_is_within_its_estimate(emulator, provider, wanted):
    settings = Settings(references=("a", "b"))
    request = replace(
        wanted, count=2, references=(picture("red"), picture("blue")), settings=settings
    )
    result = await provider.generate(request, on_submitted=never)
    model = Catalogue.load().find(request.model, today=TODAY)
    figures = {
        "size": request.size,
        "quality": request.quality,
        "count": request.count,
        "prompt": request.prompt,
        "settings": settings,
    }
    [call] = await emulator.calls(prompt=request.prompt)
    bill = price(model, usage=result.usage, **figures)
    assert 0 < bill == call.billed_micros <= price(model, **figures)


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched"),
    [
        ("refused", {}, ContentRefused, "no"),
        ("rate_limited", {"seconds": 7}, RateLimited, "no"),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown"),
    ],
)
async def test_edits_fail_as_generations_do(
    emulator, provider, wanted, scenario, more, error, dispatched
):
    await emulator.order("openai", scenario, match=wanted.prompt, **more)
    found = await failure(provider, replace(wanted, references=(picture("red"),)))
    assert (type(found), found.dispatched) == (error, dispatched)
    assert len(await emulator.calls(prompt=wanted.prompt)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": Settings(seed=7)},
        {"settings": Settings(steps=20)},
        {"settings": Settings(negative_prompt="rain")},
        {"mask": picture("white")},
        {"references": (picture("red"),) * 17},
        {"references": (ProducedFile(b"hello", "text/plain", None, None),)},
        {"references": (ProducedFile(b"x" * 50_000_000, "image/png", 1, 1),)},
    ],
)
async def test_what_openai_has_no_parameter_for_is_refused_before_it_is_sent(
    emulator, provider, wanted, changes
):
    found = await failure(provider, replace(wanted, **changes))
    assert (type(found), found.dispatched) == (InvalidRequest, "no")
    assert await emulator.calls(prompt=wanted.prompt) == []


async def test_a_reference_that_is_no_picture_costs_nothing(provider, wanted):
    broken = ProducedFile(b"hello", "image/png", 1, 1)
    found = await failure(provider, replace(wanted, references=(broken,)))
    assert (type(found), found.dispatched) == (InvalidRequest, "no")


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable"),
    [
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True),
        ("unavailable", {"seconds": 2}, Unavailable, "no", True),
        ("unavailable", {}, Unavailable, "unknown", True),
        ("server_error", {}, ProviderFailed, "unknown", True),
        ("server_error", {"status": 502}, ProviderFailed, "unknown", True),
        ("refused", {}, ContentRefused, "no", False),
        ("refused", {"step": "accept"}, ContentRefused, "unknown", False),
        ("model_gone", {}, ModelGone, "no", False),
        ("insufficient_quota", {}, AuthOrBilling, "no", False),
        ("garbage", {"step": "accept"}, ProviderFailed, "yes", True),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True),
    ],
)
async def test_each_fault_has_its_error_and_is_one_call(
    emulator, provider, wanted, scenario, more, error, dispatched, retryable
):
    await emulator.order("openai", scenario, match=wanted.prompt, **more)
    found = await failure(provider, wanted)
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == more.get("seconds")
    assert len(await emulator.calls(prompt=wanted.prompt)) == 1
    # The order is spent: the next call goes well.
    assert (await provider.generate(wanted, on_submitted=never)).files


async def test_no_answer_in_time_is_unknown_and_exactly_one_post(emulator, wanted):
    await emulator.order("openai", "hang", step="accept", match=wanted.prompt)
    impatient = OpenAIImages(emulator.openai_key, emulator.openai_base_url, seconds_max=0.3)
    found = await failure(impatient, wanted)
    await impatient.aclose()
    assert type(found) is TimeoutUnknown
    assert found.dispatched == "unknown"
    [call] = await emulator.calls(prompt=wanted.prompt)
    assert (call.method, call.outcome) == ("POST", "hang")
    assert call.billed_micros > 0


async def test_a_closed_port_was_never_sent(wanted):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with opened(f"http://127.0.0.1:{closed.getsockname()[1]}/v1", "sk-x") as provider:
            found = await failure(provider, wanted)
    assert type(found) is ConnectFailed
    assert (found.dispatched, found.retryable) == ("no", True)


async def test_a_refused_key_is_told_without_the_key(emulator, wanted):
    async with opened(emulator.openai_base_url, "sk-wrong-secret") as provider:
        found = await failure(provider, wanted)
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r} {provider!r}"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "gpt-image-1"}, ModelGone),
        ({"model": "none-such"}, ModelGone),
        ({"size": "1000x1000"}, InvalidRequest),
        ({"quality": "premium"}, InvalidRequest),
        ({"count": 11}, InvalidRequest),
        ({"prompt": "x" * 32_001}, InvalidRequest),
    ],
)
async def test_what_openai_does_not_take_costs_nothing(provider, wanted, changes, error):
    found = await failure(provider, replace(wanted, **changes))
    assert type(found) is error
    assert (found.dispatched, found.retryable) == ("no", False)
    assert found.request_id is not None


def test_it_can_not_be_resumed():
    assert not isinstance(OpenAIImages("k", "http://127.0.0.1:1", seconds_max=1), ResumableProvider)
