"""Novita's images: the real client against the emulator over TCP, error by error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from providing import bill, billed, failure, ignore, no_pause, posts, wanted
from workers.emulator import Emulator, Step, running_emulator
from workers.providers.base import ResumableProvider
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
from workers.providers.novita_images import FLUX, NovitaImages

SDXL = "sd_xl_base_1.0.safetensors"


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def open_at(emulator: Emulator):
    """A function that opens providers at the emulator, which don't wait between questions."""
    made: list[NovitaImages] = []

    def open_provider(*, key: str = emulator.novita_key, **seconds) -> NovitaImages:
        times = {"seconds_max": 5, "call_seconds_max": 5, **seconds}
        made.append(NovitaImages(key, emulator.novita_base_url, sleep=no_pause, **times))
        return made[-1]

    yield open_provider
    for provider in made:
        await provider.aclose()


async def test_a_task_is_submitted_followed_and_copied(emulator, open_at):
    request = replace(wanted(SDXL, size="1024x768", steps=30, seed=7), count=2)
    submitted: list[str] = []

    async def remember(remote_id: str) -> None:
        assert not await emulator.calls(step=Step.STATUS, prompt=request.prompt)
        submitted.append(remote_id)

    result = await open_at().generate(request, on_submitted=remember)
    assert [(file.media_type, file.width, file.height) for file in result.files] == [
        ("image/png", 1024, 768)
    ] * 2
    assert [result.remote_id] == submitted
    calls = await emulator.calls(prompt=request.prompt)
    assert [call.step for call in calls] == ["submit", "status", "status", "file", "file"]
    assert [call.signed for call in calls] == [True] * 3 + [False] * 2
    assert 0 < bill(request, result.usage) == await billed(emulator, request) == bill(request, None)


async def test_flux_is_made_at_once_and_billed_by_its_formula(emulator, open_at):
    request = replace(wanted(FLUX, size="512x512", steps=8, output_format="jpeg"), count=2)
    result = await open_at().generate(request, on_submitted=ignore)
    assert [(file.media_type, file.width) for file in result.files] == [("image/jpeg", 512)] * 2
    assert result.remote_id is None
    calls = await emulator.calls(prompt=request.prompt)
    assert [call.step for call in calls] == ["submit", "file", "file"]
    # 0.003 USD x 512 x 512 x 8 / (1024 x 1024 x 4), twice.
    assert bill(request, result.usage) == await billed(emulator, request) == 2 * 1_500


async def test_flux_gets_a_seed_of_the_attempts_own(emulator, open_at):
    request = wanted(FLUX, size="512x512", seed=None)
    await open_at().generate(request, on_submitted=ignore)
    assert await posts(emulator, request) == 1


async def test_the_progress_is_told(emulator, open_at):
    seen: list[tuple[str, int | None]] = []
    request = wanted(SDXL, size="512x512")
    request = replace(request, on_progress=lambda stage, percent: seen.append((stage, percent)))
    await emulator.order("novita", "latency", seconds=0.1, match=request.prompt)
    await open_at().generate(request, on_submitted=ignore)
    assert list(dict.fromkeys(seen)) == [("queued", None), ("running", 50), ("copying", None)]


@pytest.mark.parametrize("model", [SDXL, FLUX])
@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable"),
    [
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True),
        ("unavailable", {"seconds": 2}, Unavailable, "no", True),
        ("unavailable", {}, Unavailable, "unknown", True),
        ("server_error", {"status": 502}, ProviderFailed, "unknown", True),
        ("model_gone", {}, ModelGone, "no", False),
        ("insufficient_quota", {}, AuthOrBilling, "no", False),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True),
        ("hang", {"step": "accept"}, TimeoutUnknown, "unknown", True),
        ("garbage", {"step": "file"}, ProviderFailed, "yes", True),
        ("model_gone", {"step": "file"}, ProviderFailed, "yes", True),
    ],
)
async def test_each_fault_has_its_error_and_is_one_submission(
    emulator, open_at, model, scenario, more, error, dispatched, retryable
):
    request = wanted(model, size="512x512")
    await emulator.order("novita", scenario, match=request.prompt, **more)
    found = await failure(open_at(call_seconds_max=0.5), request)
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == more.get("seconds")
    assert await posts(emulator, request) == 1


@pytest.mark.parametrize(
    ("model", "scenario", "more", "error", "dispatched"),
    [
        (SDXL, "refused", {}, ContentRefused, "unknown"),
        (FLUX, "refused", {}, ContentRefused, "no"),
        (SDXL, "job_failed", {}, ProviderFailed, "unknown"),
        (SDXL, "garbage", {"step": "accept"}, ProviderFailed, "unknown"),
        (FLUX, "garbage", {"step": "accept"}, ProviderFailed, "yes"),
        (SDXL, "insufficient_quota", {"step": "status"}, TimeoutUnknown, "unknown"),
    ],
)
async def test_each_fault_of_the_one_or_the_other(
    emulator, open_at, model, scenario, more, error, dispatched
):
    request = wanted(model, size="512x512")
    await emulator.order("novita", scenario, match=request.prompt, **more)
    found = await failure(open_at(), request)
    assert type(found) is error
    assert found.dispatched == dispatched
    assert await posts(emulator, request) == 1


@pytest.mark.parametrize("step", ["status", "file"])
@pytest.mark.parametrize("scenario", ["rate_limited", "server_error", "unavailable", "drop"])
async def test_faults_in_reading_pass_without_a_second_submission(
    emulator, open_at, scenario, step
):
    request = wanted(SDXL, size="512x512")
    await emulator.order("novita", scenario, step=step, match=request.prompt, times=3)
    assert len((await open_at().generate(request, on_submitted=ignore)).files) == 1
    assert len(await emulator.calls(step=step, prompt=request.prompt)) >= 4
    assert await posts(emulator, request) == 1


async def test_a_task_that_takes_too_long_is_unknown_and_can_be_resumed(emulator, open_at):
    request = wanted(SDXL, size="512x512")
    await emulator.order("novita", "latency", seconds=0.6, match=request.prompt)
    submitted: list[str] = []

    async def remember(remote_id: str) -> None:
        submitted.append(remote_id)

    with pytest.raises(TimeoutUnknown):
        await open_at(seconds_max=0.2).generate(request, on_submitted=remember)
    other = open_at()
    assert isinstance(other, ResumableProvider)
    assert len((await other.resume(request, submitted[0])).files) == 1
    assert await posts(emulator, request) == 1


async def test_a_task_that_novita_does_not_know_is_unknown(open_at):
    with pytest.raises(TimeoutUnknown) as caught:
        await open_at().resume(wanted(SDXL), "none-such")
    assert caught.value.dispatched == "unknown"


async def test_a_worker_that_could_not_note_the_id_does_not_go_on(emulator, open_at):
    request = wanted(SDXL, size="512x512")

    async def fail(remote_id: str) -> None:
        raise ConnectionError(remote_id)

    with pytest.raises(ConnectionError) as caught:
        await open_at().generate(request, on_submitted=fail)
    assert not await emulator.calls(step=Step.STATUS, prompt=request.prompt)
    assert (await open_at().resume(request, str(caught.value))).files


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (SDXL, {"size": "auto"}),
        (SDXL, {"size": "4096x1024"}),
        (SDXL, {"count": 9}),
        (SDXL, {"prompt": "x" * 1025}),
        (FLUX, {"settings": wanted(SDXL, negative_prompt="rain").settings}),
        (FLUX, {"settings": wanted(SDXL, steps=101).settings}),
    ],
)
async def test_what_it_does_not_take_is_never_sent(emulator, open_at, model, changes):
    request = replace(wanted(model), **changes)
    assert type(await failure(open_at(), request)) is InvalidRequest
    assert await posts(emulator, request) == 0


async def test_a_refused_key_is_told_without_the_key(open_at):
    found = await failure(open_at(key="sk_secret"), wanted(SDXL))
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r}"
