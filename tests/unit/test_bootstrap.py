"""Stopping: a task that lost its cancellation is ended all the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from authority.background import cancelled


async def test_a_swallowed_cancellation_is_sent_again():
    started = asyncio.Event()

    async def swallows_one():
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(swallows_one())
    await started.wait()
    async with asyncio.timeout(5):
        await cancelled(task)
    assert task.cancelled()


async def test_what_a_task_died_of_is_not_hidden():
    async def fails():
        raise ValueError("broken")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    with pytest.raises(ValueError, match="broken"):
        await cancelled(task)
