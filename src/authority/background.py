"""Tasks that run beside the calls, until they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_CANCEL_AGAIN_SECONDS = 0.5


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a task that runs until cancelled.

    A wait inside a library may end at the very moment of the cancellation and swallow it, so a task
    that goes on is cancelled again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)
    with suppress(asyncio.CancelledError):
        await task


async def all_cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what is under way, and wait until it has ended; who waits for it is told by itself."""
    under_way = list(tasks)
    for task in under_way:
        task.cancel()
    if under_way:
        await asyncio.wait(under_way)
