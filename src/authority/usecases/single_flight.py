"""Work that many callers need at the same moment is done once, for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from authority.background import all_cancelled

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


class SingleFlight(Generic[_Key, _Result]):
    """Shares the work under way for a key. A caller that leaves does not stop it."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, asyncio.Task[_Result]] = {}
        self._tasks: set[asyncio.Task[_Result]] = set()

    async def do(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return, or raise, what the work under way for the key does; begin it if there is none."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._run(key, work))
            self._under_way[key] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def forget(self, key: _Key) -> None:
        """Let the next caller begin anew: what is under way may be too old for it."""
        self._under_way.pop(key, None)

    async def stop(self) -> None:
        """End what is under way, and tell those who wait for it."""
        await all_cancelled(self._tasks)

    async def _run(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        try:
            return await work()
        finally:
            if self._under_way.get(key) is asyncio.current_task():
                del self._under_way[key]
