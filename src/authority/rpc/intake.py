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

# A call among many costs grpc.aio half of what it costs alone if they begin together and their
# replies leave together, and the scripts and the journal less still. A few calls would wait for
# nothing.
_ALONE_MAX = 4
# From the last reply of a burst to the next burst: callers that ask again at once are in it.
_LINGER_SECONDS = 0.002
# A burst whose last call takes long holds up the next no longer than this.
_BURST_SECONDS_MAX = 0.016


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
    """Lets calls begin in bursts while there are many: `async with bursts: ...`.

    What comes while a burst is under way begins together, soon after it has ended.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._most = 0  # of them at one time, since there were none
        self._waiting = 0
        self._gate: asyncio.Event | None = None
        self._opening: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        """Wait for the next burst, if there is to be one."""
        if self._gate is None:
            if self._under_way < _ALONE_MAX:
                self._begin(1)
                return
            self._close(_BURST_SECONDS_MAX)
        gate = self._gate
        assert gate is not None
        self._waiting += 1
        try:
            await gate.wait()
        except BaseException:
            if gate.is_set():
                self._end()
            else:
                self._waiting -= 1
            raise

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count the call as over."""
        self._end()

    def _begin(self, calls: int) -> None:
        self._under_way += calls
        self._most = max(self._most, self._under_way)

    def _end(self) -> None:
        self._under_way -= 1
        if self._under_way:
            return
        if self._gate is not None or self._most > _ALONE_MAX:
            self._close(_LINGER_SECONDS)
        self._most = 0

    def _close(self, seconds: float) -> None:
        """Hold back what comes, and what waits already, for so long."""
        self._gate = self._gate or asyncio.Event()
        if self._opening is not None:
            self._opening.cancel()
        self._opening = asyncio.get_running_loop().call_later(seconds, self._open)

    def _open(self) -> None:
        gate, self._gate, self._opening = self._gate, None, None
        assert gate is not None
        self._begin(self._waiting)
        self._waiting = 0
        gate.set()
