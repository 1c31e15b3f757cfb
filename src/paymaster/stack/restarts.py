"""Starts again what ends by itself, a bounded number of times."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from authority.embedded.servers import EmbeddedServer
from paymaster.stack.children import Child
from paymaster.stack.errors import NotReady, StackFailed

_RESTARTS_MAX = 3
_WINDOW_SECONDS = 60
_WATCH_SECONDS = 0.5


async def keep_child(
    child: Child, start: Callable[[], Awaitable[None]], announce: Callable[[str], None]
) -> NoReturn:
    """Start a program again whenever it ends. Raises StackFailed when that is too often."""
    restarts = _Restarts(announce)
    while True:
        restarts.count(await child.ended())
        # One that ended before it was ready is counted in the next round.
        with suppress(NotReady):
            await start()


async def keep_server(server: EmbeddedServer, announce: Callable[[str], None]) -> NoReturn:
    """Start a server again whenever it ends. Raises StackFailed and EmbeddedError."""
    restarts = _Restarts(announce)
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if not server.running:
            restarts.count(f"{server.name} ended. Its log is {server.log}.")
            await server.start()


class _Restarts:
    """Counts how often something was started again lately."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._times: deque[float] = deque(maxlen=_RESTARTS_MAX)

    def count(self, end: str) -> None:
        """Count one more, and tell of it. Raises StackFailed if it was one too many."""
        now = time.monotonic()
        if len(self._times) == _RESTARTS_MAX and now - self._times[0] < _WINDOW_SECONDS:
            raise StackFailed(
                f"{end}\nIt ended {_RESTARTS_MAX + 1} times within {_WINDOW_SECONDS} s and is not"
                " started again."
            )
        self._times.append(now)
        self._announce(f"{end}\nStarting it again.")
