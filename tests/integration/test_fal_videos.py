"""fal's videos, its progress and its cancelling: the real client against the emulator over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from providing import bill, billed, failure, ignore, no_pause, posts, wanted
from support import eventually
from workers.emulator import Emulator, Step, running_emulator
from workers.providers.base import CancellableProvider
from workers.providers.errors import AuthOrBilling, InvalidRequest, JobCancelled, ProviderFailed
from workers.providers.fal_queue import FalQueue

SEEDANCE = "bytedance/seedance-2.0/text-to-video"
H3 = "minimax/h3/text-to-video"


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[FalQueue]:
    """A provider that does not wait between two questions."""
    made = FalQueue(emulator.fal_key, emulator.fal_queue_url, seconds_max=10, sleep=no_pause)
    yield made
    await made.aclose()


def video(model: str = SEEDANCE, size: str = "480p", **settings):
    """Return a request for a video."""
    return wanted(model, kind="video", size=size, **settings)


class Seen:
    """Remembers what it is told of the progress."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []

    def __call__(self, stage: str, percent: int | None) -> None:
        self.stages.append((stage, percent))


@pytest.mark.parametrize(
    ("model", "size", "seconds"), [(SEEDANCE, "480p", 4), (H3, "2k", 6), (SEEDANCE, "720p", None)]
)
async def test_a_video_is_made_copied_and_billed_by_its_seconds(
    emulator, fal, model, size, seconds
):
    request = video(model, size, seconds=seconds)
    result = await fal.generate(request, on_submitted=ignore)
    [file] = result.files
    assert file.media_type == "video/mp4"
    assert file.width
    assert file.height
    assert result.usage.seconds == Decimal(seconds or 5)
    assert 0 < bill(request, result.usage) == await billed(emulator, request)
    assert bill(request, result.usage) <= bill(request, None)
    assert await posts(emulator, request) == 1


@pytest.mark.parametrize(
    "request_",
    [
        replace(video(), count=2),
        video(seconds=3),
        video(seconds=16),
        video(H3, "480p", seconds=4),
        video(H3, "480p", seed=7),
        video(negative_prompt="rain"),
        replace(video(), kind="chat"),
    ],
)
async def test_what_no_model_takes_is_never_sent(emulator, fal, request_):
    found = await failure(fal, request_)
    assert type(found) is InvalidRequest
    assert found.dispatched == "no"
    assert await posts(emulator, request_) == 0


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("fal-ai/flux/schnell", {"steps": 13}),
        ("fal-ai/flux/dev", {"steps": 51}),
        ("fal-ai/flux/dev", {"output_format": "webp"}),
        ("fal-ai/flux-pro/v1.1", {"steps": 4}),
        ("fal-ai/flux/dev", {"negative_prompt": "rain"}),
        ("openai/gpt-image-2", {"seed": 7}),
    ],
)
async def test_a_setting_that_a_model_does_not_take_is_never_sent(emulator, fal, model, settings):
    request = wanted(model, **settings)
    assert type(await failure(fal, request)) is InvalidRequest
    assert await posts(emulator, request) == 0


async def test_a_picture_is_made_as_it_was_set(fal):
    request = wanted("fal-ai/flux/schnell", steps=4, seed=7, output_format="jpeg")
    [file] = (await fal.generate(request, on_submitted=ignore)).files
    assert file.media_type == "image/jpeg"


async def test_a_model_that_is_told_proportions(fal):
    request = wanted("fal-ai/flux-pro/v1.1-ultra", size="1536x1024")
    [file] = (await fal.generate(request, on_submitted=ignore)).files
    assert (file.width, file.height) == (1536, 1024)


async def test_the_progress_is_told(emulator, fal):
    seen = Seen()
    request = replace(wanted("fal-ai/flux/dev"), on_progress=seen)
    await emulator.order("fal", "latency", seconds=0.1, match=request.prompt)
    await fal.generate(request, on_submitted=ignore)
    stages = list(dict.fromkeys(seen.stages))
    assert stages == [("queued", None), ("running", 50), ("copying", None)]


async def submit(provider: FalQueue, request) -> tuple[str, asyncio.Task]:
    """Submit a job; return its id and the task that waits for it."""
    submitted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def remember(remote_id: str) -> None:
        submitted.set_result(remote_id)

    task = asyncio.create_task(provider.generate(request, on_submitted=remember))
    return await submitted, task


async def test_a_cancelled_job_ends_and_costs_nothing(emulator, fal):
    assert isinstance(fal, CancellableProvider)
    request = video()
    await emulator.order("fal", "latency", seconds=60, match=request.prompt)
    remote_id, task = await submit(fal, request)
    assert await billed(emulator, request) > 0
    await fal.cancel(request, remote_id)
    with pytest.raises(JobCancelled) as caught:
        await task
    assert (caught.value.dispatched, caught.value.retryable) == ("no", False)
    with pytest.raises(JobCancelled):
        await fal.resume(request, remote_id)
    assert await billed(emulator, request) == 0


async def test_a_job_that_can_not_be_stopped_is_made_and_billed(emulator, fal):
    request = video()
    await emulator.order("fal", "job_unstoppable", match=request.prompt)
    remote_id, task = await submit(fal, request)
    await fal.cancel(request, remote_id)
    result = await task
    assert bill(request, result.usage) == await billed(emulator, request) > 0


async def test_to_cancel_a_job_that_has_ended_changes_nothing(emulator, fal):
    request = wanted("fal-ai/flux/dev")
    result = await fal.generate(request, on_submitted=ignore)
    await fal.cancel(request, result.remote_id)
    assert (await fal.resume(request, result.remote_id)).files == result.files
    calls = await emulator.calls(step=Step.CANCEL, prompt=request.prompt)
    assert [call.outcome for call in calls] == ["too_late"]


@pytest.mark.parametrize("scenario", ["server_error", "unavailable", "rate_limited", "drop"])
async def test_faults_in_cancelling_pass(emulator, fal, scenario):
    request = video()
    await emulator.order("fal", "job_stuck", match=request.prompt)
    await emulator.order("fal", scenario, step="cancel", match=request.prompt, times=2)
    remote_id, task = await submit(fal, request)
    await fal.cancel(request, remote_id)
    with pytest.raises(JobCancelled):
        await task
    assert len(await emulator.calls(step=Step.CANCEL, prompt=request.prompt)) == 3


async def test_to_cancel_with_a_key_that_is_refused(emulator, fal):
    request = video()
    await emulator.order("fal", "job_stuck", match=request.prompt)
    await emulator.order("fal", "insufficient_quota", step="cancel", match=request.prompt)
    remote_id, task = await submit(fal, request)
    with pytest.raises(AuthOrBilling) as caught:
        await fal.cancel(request, remote_id)
    assert caught.value.dispatched == "unknown"
    task.cancel()


async def test_a_video_that_is_none_is_paid_for(emulator, fal):
    request = video()
    await emulator.order("fal", "garbage", step="file", match=request.prompt)
    found = await failure(fal, request)
    assert type(found) is ProviderFailed
    assert found.dispatched == "yes"
    assert "can't be used" in found.message
    assert found.usage.billable_units == 5


async def test_the_emulated_queue_refuses_what_the_model_would(emulator, fal):
    request = replace(video(), size="360p")
    found = await failure(fal, request)
    assert type(found) is InvalidRequest
    assert found.dispatched == "no"
    assert "Invalid resolution" in found.message
    await eventually(lambda: emulator.calls(prompt=request.prompt))
