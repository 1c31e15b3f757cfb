"""Calls that are told to stop while they are under way, and what is told of their progress."""

from __future__ import annotations

import asyncio

import pytest

from support import eventually
from workers.calls import Call
from workers.progress import Progress
from workers.providers.base import ProviderRequest
from workers.providers.errors import JobCancelled, TimeoutUnknown, Unavailable
from workers.steering import Steering, Stop

ORDER = ProviderRequest("image", "m", "a cat", "1024x1024", "premium", 1, "acme/g:1", "")


class Sync:
    """A provider whose calls end when they end."""

    name = "sync"

    def __init__(self):
        self.end = asyncio.Event()

    async def generate(self, _request, *, on_submitted):  # noqa: ARG002  # It has no jobs.
        await self.end.wait()
        return "made"

    async def aclose(self):
        pass


class Stoppable(Sync):
    """A provider that can be asked to stop a job, and does so or not."""

    name = "stoppable"

    def __init__(self, *, obeys=True, fails=False):
        super().__init__()
        self.asked = []
        self.submit = asyncio.Event()
        self._obeys = obeys
        self._fails = fails

    async def generate(self, request, *, on_submitted):
        await self.submit.wait()
        await on_submitted("remote-1")
        return await self.resume(request, "remote-1")

    async def resume(self, _request, _remote_id):
        await self.end.wait()
        if self.asked and self._obeys:
            raise JobCancelled(self.name, "It was stopped.")
        return "made"

    async def cancel(self, _request, remote_id):
        self.asked.append(remote_id)
        if self._fails:
            raise Unavailable(self.name, "not now")
        if self._obeys:
            self.end.set()


def begin(provider, steering):
    """Begin a call; return its task."""
    call = Call(provider, ORDER, steering)

    async def on_submitted(remote_id):
        call.submitted(remote_id)

    return asyncio.create_task(call.outcome(provider.generate(ORDER, on_submitted=on_submitted)))


def soon():
    """Return a time that has come."""
    return asyncio.get_running_loop().time()


async def test_a_call_that_nobody_stops_ends_as_it_ends():
    provider = Sync()
    task = begin(provider, Steering())
    provider.end.set()
    assert await task == "made"


async def test_a_cancelled_call_that_cannot_be_stopped_is_waited_for():
    provider, steering = Sync(), Steering()
    task = begin(provider, steering)
    steering.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    provider.end.set()
    assert await task == "made"


async def test_a_call_that_cannot_be_stopped_is_left_at_the_deadline():
    with pytest.raises(TimeoutUnknown):
        await begin(Sync(), Steering(soon()))


@pytest.mark.parametrize("stop", Stop)
async def test_a_job_is_stopped_once_it_is_there(stop):
    steering = Steering(soon() if stop is Stop.DEADLINE else None)
    if stop is Stop.CANCELLED:
        steering.cancel()
    assert steering.stop is stop
    provider = Stoppable()
    task = begin(provider, steering)
    await asyncio.sleep(0)
    assert provider.asked == []
    provider.submit.set()
    with pytest.raises(JobCancelled):
        await task
    assert provider.asked == ["remote-1"]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_job_that_does_not_stop_is_asked_about_later(monkeypatch, fails):
    monkeypatch.setattr("workers.calls.STOP_S", 0.05)
    provider, steering = Stoppable(obeys=False, fails=fails), Steering()
    provider.submit.set()
    steering.cancel()
    with pytest.raises(TimeoutUnknown):
        await begin(provider, steering)


async def test_a_job_that_ended_before_it_could_be_stopped_was_made():
    provider, steering = Stoppable(obeys=False), Steering()
    provider.submit.set()
    steering.cancel()
    task = begin(provider, steering)
    provider.end.set()
    assert await task == "made"


async def test_a_worker_that_stops_leaves_no_call_behind():
    provider = Sync()
    task = begin(provider, Steering())
    await asyncio.sleep(0)
    before = asyncio.all_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() < before
    assert all(left.done() for left in before - asyncio.all_tasks())


async def test_progress_is_written_now_and_then_and_the_latest_only():
    written = []
    times = []

    async def write(stage, percent):
        written.append((stage, percent))
        times.append(asyncio.get_running_loop().time())

    async with Progress(write, interval_s=0.05) as progress:
        progress("queued\n" + "x" * 100, None)
        await eventually(lambda: written)
        for percent in range(0, 130, 10):
            progress("drawing", percent)
        await eventually(lambda: len(written) == 2)
        progress("drawing", 120)
        progress("done", None)
        await eventually(lambda: len(written) == 3)
    assert written == [(f"queued {'x' * 53}", None), ("drawing", 100), ("done", None)]
    assert times[1] - times[0] >= 0.05


async def test_progress_that_cannot_be_written_ends_nothing():
    tries = []

    async def write(stage, percent):
        tries.append(stage)
        raise OSError

    async with Progress(write, interval_s=0) as progress:
        for stage in ("one", "two"):
            progress(stage, None)
            await eventually(lambda stage=stage: tries[-1:] == [stage])
