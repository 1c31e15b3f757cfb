"""Lets an operation go on when its caller leaves.

grpc.aio cancels a handler when the client's deadline passes or the client goes away. From the
script call on an operation must reach the journal all the same, so it runs as a task of the
server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Shield:
    """Runs operations to their end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, operation: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Run an operation whoever waits for it; the task is not to be cancelled."""
        task = asyncio.create_task(operation)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def run(self, operation: Coroutine[Any, Any, _Result]) -> _Result:
        """Return the operation's result; if the caller is cancelled, the operation is not."""
        return await asyncio.shield(self.start(operation))

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to the caller, or the caller has left

    async def drain(self) -> None:
        """Wait for what still runs."""
        if self._tasks:
            await asyncio.wait(self._tasks)
