"""How the async clients wait; `clients.sync.concurrency` is the same for the sync ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

Sleep = Callable[[float], Awaitable[None]]

sleep = asyncio.sleep
in_thread = asyncio.to_thread


async def finish(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run work to its end even if the caller is cancelled meanwhile; then the cancellation goes on.

    An error of the work becomes the cause of the CancelledError.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        await asyncio.wait([task])
        raise cancelled from None if task.cancelled() else task.exception()


def home_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop, to which what is made now belongs.

    Raises RuntimeError if none runs: gRPC would take another one, and only calls would fail.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "make an async client inside the event loop that is to use it, such as in a coroutine "
            "that asyncio.run runs"
        ) from None


def check_home(loop: asyncio.AbstractEventLoop) -> None:
    """Raise RuntimeError in any other event loop."""
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError(
            "the client belongs to another event loop; make one in each event loop, and in each "
            "process that is forked"
        )
