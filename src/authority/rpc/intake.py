"""What is let in: so many operations at once and no more, and each tenant in its turn.

Past saturation more operations at once only make each of them slower, and a tenant that floods
would fill every frame and transaction. What has no place waits in its tenant's line; the lines take
turns. What finds the lines full is refused at once, and costs next to nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from authority.domain.errors import Unavailable

# Fills a call of the scripts and a transaction of the journal twice over; a tenant alone has all.
AT_ONCE_MAX = 512
# What 512 places answer in well under a second: who waits longer is better told to come again.
WAITING_MAX = 4_096

# grpc.aio is cheaper by a third when replies leave together, which they do if the calls start
# together. A few calls gain nothing by it and would wait for nothing.
_LINGER_SECONDS = 0.002
_ALONE_MAX = 8


class Intake:
    """Places for operations under way, given to the tenants in turn."""

    def __init__(self, at_once_max: int = AT_ONCE_MAX, waiting_max: int = WAITING_MAX) -> None:
        self._free = at_once_max
        self._waiting_max = waiting_max
        self._waiting = 0
        # By tenant; the first tenant has the next turn.
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    async def enter(self, tenant: str) -> None:
        """Take a place, to be left again. Raises Unavailable if too many wait already."""
        if self._free > 0:
            self._free -= 1
            return
        if self._waiting >= self._waiting_max:
            raise Unavailable("The authority has more to do than it can; try again.")
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # The turn came at the same moment.
            raise

    def leave(self) -> None:
        """Give the place to whoever is next."""
        while self._lines:
            tenant = next(iter(self._lines))
            line = self._lines.pop(tenant)
            turn = line.popleft()
            self._waiting -= 1
            if line:
                self._lines[tenant] = line  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Bursts:
    """Lets calls begin in bursts while there are many: `async with bursts: ...`."""

    def __init__(self) -> None:
        self._under_way = 0
        self._gate: asyncio.Event | None = None

    async def __aenter__(self) -> None:
        """Wait for the next burst, if there is to be one."""
        self._under_way += 1
        if self._under_way <= _ALONE_MAX:
            return
        if self._gate is None:
            self._gate = asyncio.Event()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._open)
        try:
            await self._gate.wait()
        except BaseException:
            self._under_way -= 1
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count the call as over."""
        self._under_way -= 1

    def _open(self) -> None:
        gate, self._gate = self._gate, None
        assert gate is not None
        gate.set()
