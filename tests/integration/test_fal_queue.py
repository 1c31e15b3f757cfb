"""fal's queue: the real client against the emulator over TCP, error by error."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from generations.catalogue import Catalogue
from generations.pricing import price
from workers.emulator import Emulator, Step, running_emulator
from workers.providers.base import ProviderRequest, ResumableProvider
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
from workers.providers.fal_queue import FalQueue
from workers.providers.http import DELAY_SECONDS_MAX, DELAY_SECONDS_MIN

TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator for the module; tests keep apart by their prompts."""
    async with running_emulator() as running:
        yield running


class Opened:
    """Makes providers that don't wait between two questions, and remembers how they would have."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.delays: list[float] = []
        self.providers: list[FalQueue] = []

    def __call__(self, *, seconds_max: float = 5, call_seconds_max: float = 5, **more) -> FalQueue:
        """Return a provider; the fixture closes it."""
        arguments = {"key": self.emulator.fal_key, "base_url": self.emulator.fal_queue_url, **more}
        made = FalQueue(
            **arguments,
            seconds_max=seconds_max,
            call_seconds_max=call_seconds_max,
            sleep=self._sleep,
        )
        self.providers.append(made)
        return made

    async def _sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def opened(emulator: Emulator) -> AsyncIterator[Opened]:
    """What opens providers at the emulator."""
    maker = Opened(emulator)
    yield maker
    for provider in maker.providers:
        await provider.aclose()


@pytest.fixture
def wanted() -> ProviderRequest:
    """A request with a prompt of the test's own."""
    return ProviderRequest(
        kind="image",
        model="fal-ai/flux/dev",
        prompt=f"a red fox {uuid.uuid4()}",
        size="1024x1024",
        quality="standard",
        count=1,
        attempt_id="attempt-1",
        user="5f2a",
    )


async def ignore(remote_id: str) -> None:
    """Take note of nothing."""


async def failure(provider: FalQueue, request: ProviderRequest) -> ProviderError:
    """Return the error that a request gets."""
    with pytest.raises(ProviderError) as caught:
        await provider.generate(request, on_submitted=ignore)
    return caught.value


async def posts(emulator: Emulator, request: ProviderRequest) -> int:
    """Return how many times a request was submitted."""
    calls = await emulator.calls(provider="fal", prompt=request.prompt)
    return sum(call.method == "POST" for call in calls)


async def test_a_job_is_submitted_followed_and_copied(emulator, opened, wanted):
    request = replace(wanted, count=2, size="1024x768")
    submitted: list[str] = []

    async def remember(remote_id: str) -> None:
        assert not await emulator.calls(step=Step.STATUS, prompt=request.prompt)
        submitted.append(remote_id)

    result = await opened().generate(request, on_submitted=remember)
    assert [(file.media_type, file.width, file.height) for file in result.files] == [
        ("image/png", 1024, 768)
    ] * 2
    assert [result.remote_id] == submitted
    calls = await emulator.calls(prompt=request.prompt)
    steps = [call.step for call in calls]
    assert steps == ["submit", "status", "status", "result", "file", "file"]
    assert calls[1].path == f"/fal/fal-ai/flux/requests/{result.remote_id}/status"
    assert [call.signed for call in calls] == [True] * 4 + [False] * 2


async def test_the_bill_by_units_is_what_the_provider_bills_and_within_the_estimate(
    emulator, opened, wanted
):
    request = replace(wanted, count=3)
    result = await opened().generate(request, on_submitted=ignore)
    assert result.usage.billable_units == Decimal("3.145728")
    model = Catalogue.load().find(request.model, today=TODAY)
    figures = {"size": request.size, "quality": request.quality, "count": request.count}
    bill = price(model, usage=result.usage, **figures)
    [call] = await emulator.calls(step=Step.SUBMIT, prompt=request.prompt)
    assert 0 < bill == call.billed_micros <= price(model, **figures)


async def test_a_model_with_qualities_of_its_own_is_told_the_quality(emulator, opened, wanted):
    request = replace(wanted, model="openai/gpt-image-2", quality="low")
    result = await opened().generate(request, on_submitted=ignore)
    [call] = await emulator.calls(step=Step.SUBMIT, prompt=request.prompt)
    # The cheapest of its qualities; the default would have been the dearest.
    assert 6_000 <= call.billed_micros < 10_000
    assert result.usage.images == 1


async def test_pictures_may_come_inline(emulator, opened, wanted):
    await emulator.order("fal", "job_inline", match=wanted.prompt)
    result = await opened().generate(wanted, on_submitted=ignore)
    assert (result.files[0].width, result.files[0].height) == (1024, 1024)
    assert not await emulator.calls(step=Step.FILE, prompt=wanted.prompt)


@pytest.mark.parametrize(
    ("scenario", "more", "error", "dispatched", "retryable"),
    [
        ("rate_limited", {"seconds": 7}, RateLimited, "no", True),
        ("unavailable", {"seconds": 2}, Unavailable, "no", True),
        ("unavailable", {}, Unavailable, "unknown", True),
        ("server_error", {"status": 502}, ProviderFailed, "unknown", True),
        ("model_gone", {}, ModelGone, "no", False),
        ("insufficient_quota", {}, AuthOrBilling, "no", False),
        ("garbage", {"step": "accept"}, ProviderFailed, "unknown", True),
        ("drop", {"step": "accept"}, TimeoutUnknown, "unknown", True),
        ("hang", {"step": "accept"}, TimeoutUnknown, "unknown", True),
        ("refused", {}, ContentRefused, "no", False),
        ("refused", {"step": "accept"}, ContentRefused, "yes", False),
        ("job_failed", {}, ProviderFailed, "no", True),
        ("job_withheld", {}, ContentRefused, "yes", False),
        ("garbage", {"step": "result"}, ProviderFailed, "yes", True),
        ("garbage", {"step": "file"}, ProviderFailed, "yes", True),
        ("model_gone", {"step": "file"}, ProviderFailed, "yes", True),
        ("insufficient_quota", {"step": "status"}, AuthOrBilling, "unknown", False),
    ],
)
async def test_each_fault_has_its_error_and_is_one_submission(
    emulator, opened, wanted, scenario, more, error, dispatched, retryable
):
    await emulator.order("fal", scenario, match=wanted.prompt, **more)
    found = await failure(opened(call_seconds_max=0.3), wanted)
    assert type(found) is error
    assert (found.dispatched, found.retryable) == (dispatched, retryable)
    assert found.retry_after_seconds == more.get("seconds")
    assert await posts(emulator, wanted) == 1


@pytest.mark.parametrize(("scenario", "step"), [("refused", "accept"), ("job_withheld", "submit")])
async def test_work_that_was_done_and_is_withheld_has_its_bill(
    emulator, opened, wanted, scenario, step
):
    await emulator.order("fal", scenario, step=step, match=wanted.prompt)
    found = await failure(opened(), wanted)
    assert found.usage is not None
    assert found.usage.billable_units == Decimal("1.048576")


@pytest.mark.parametrize("step", ["status", "result", "file"])
@pytest.mark.parametrize("scenario", ["rate_limited", "server_error", "unavailable", "drop"])
async def test_faults_in_reading_pass_without_a_second_submission(
    emulator, opened, wanted, scenario, step
):
    await emulator.order("fal", scenario, step=step, match=wanted.prompt, times=3)
    result = await opened().generate(wanted, on_submitted=ignore)
    assert len(result.files) == 1
    assert len(await emulator.calls(step=step, prompt=wanted.prompt)) >= 4
    assert await posts(emulator, wanted) == 1


async def test_questions_come_at_longer_and_longer_intervals(emulator, opened, wanted):
    await emulator.order("fal", "rate_limited", step="result", match=wanted.prompt, times=12)
    await opened().generate(wanted, on_submitted=ignore)
    delays = opened.delays[1:]
    assert delays == sorted(delays)
    assert delays[0] == DELAY_SECONDS_MIN
    assert delays[-1] == DELAY_SECONDS_MAX


async def test_a_job_that_takes_too_long_is_unknown_and_can_be_resumed(emulator, opened, wanted):
    await emulator.order("fal", "latency", seconds=0.6, match=wanted.prompt)
    submitted: list[str] = []

    async def remember(remote_id: str) -> None:
        submitted.append(remote_id)

    with pytest.raises(TimeoutUnknown) as caught:
        await opened(seconds_max=0.2).generate(wanted, on_submitted=remember)
    assert caught.value.dispatched == "unknown"
    other = opened()
    assert isinstance(other, ResumableProvider)
    result = await other.resume(wanted, submitted[0])
    assert len(result.files) == 1
    assert await posts(emulator, wanted) == 1


async def test_a_stuck_job_is_left_in_time(emulator, opened, wanted):
    await emulator.order("fal", "job_stuck", match=wanted.prompt)
    found = await failure(opened(seconds_max=0.2), wanted)
    assert type(found) is TimeoutUnknown
    assert await posts(emulator, wanted) == 1


async def test_a_worker_that_could_not_note_the_id_does_not_go_on(emulator, opened, wanted):
    async def fail(remote_id: str) -> None:
        raise ConnectionError(remote_id)

    with pytest.raises(ConnectionError) as caught:
        await opened().generate(wanted, on_submitted=fail)
    assert not await emulator.calls(step=Step.STATUS, prompt=wanted.prompt)
    assert (await opened().resume(wanted, str(caught.value))).files


async def test_a_job_that_fal_does_not_know_is_unknown(opened, wanted):
    with pytest.raises(TimeoutUnknown) as caught:
        await opened().resume(wanted, str(uuid.uuid4()))
    assert caught.value.dispatched == "unknown"


@pytest.mark.parametrize(("changes"), [{"count": 5}, {"size": "auto"}])
async def test_what_no_model_takes_is_never_sent(emulator, opened, wanted, changes):
    found = await failure(opened(), replace(wanted, **changes))
    assert type(found) is InvalidRequest
    assert await posts(emulator, wanted) == 0


async def test_what_the_model_does_not_take_costs_nothing(opened, wanted):
    found = await failure(opened(), replace(wanted, quality="ultra"))
    assert type(found) is InvalidRequest
    assert found.dispatched == "no"
    assert "Invalid quality" in found.message


async def test_a_model_that_is_gone(opened, wanted):
    found = await failure(opened(), replace(wanted, model="fal-ai/none-such"))
    assert type(found) is ModelGone


async def test_a_closed_port_was_never_sent(opened, wanted):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = await failure(opened(base_url=url), wanted)
    assert type(found) is ConnectFailed
    assert (found.dispatched, found.retryable) == ("no", True)


async def test_a_refused_key_is_told_without_the_key(opened, wanted):
    found = await failure(opened(key="wrong:secret"), wanted)
    assert type(found) is AuthOrBilling
    assert "secret" not in f"{found!r} {found.__cause__!r}"
