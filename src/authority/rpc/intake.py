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

# Fills a call of the scripts and a transaction of the journal twice over; one tenant alone has all.
AT_ONCE_MAX = 512
# Of these for one tenant where others are: each step of theirs comes behind so many of its own.
# With 48 a tenant that floods has a third more done, and others wait half as long again.
SHARE_MAX = 24
# How long a tenant is taken to be there after its last operation.
_TOGETHER_SECONDS = 1.0
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
    """Places for operations under way, given to the tenants in turn, who have a share each.

    A tenant that is alone may have all of them.
    """

    def __init__(
        self,
        at_once_max: int = AT_ONCE_MAX,
        waiting_max: int = WAITING_MAX,
        share_max: int = SHARE_MAX,
    ) -> None:
        self._free = at_once_max
        self._waiting_max = waiting_max
        self._at_once_max = at_once_max
        self._share_max = share_max
        self._last = ""  # the tenant that came last
        self._together_until = 0.0
        self._waiting = 0
        self._taken: dict[str, int] = {}
        # By tenant; the first tenant has the next turn.
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    async def enter(self, tenant: str) -> None:
        """Take a place, to be left again. Raises Unavailable if too many wait already."""
        loop = asyncio.get_running_loop()
        if tenant != self._last:
            if self._last:
                self._together_until = loop.time() + _TOGETHER_SECONDS
            self._last = tenant
        if self._free > 0 and self._taken.get(tenant, 0) < self._share():
            self._take(tenant)
            return
        if self._waiting >= self._waiting_max:
            raise Unavailable("The authority has more to do than it can; try again.")
        turn = loop.create_future()
        self._lines.setdefault(tenant, deque()).append(turn)
        self._waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(tenant)  # The turn came at the same moment.
            raise

    def leave(self, tenant: str) -> None:
        """Give the place to whoever is next."""
        self._free += 1
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        while (follower := self._next()) is not None:
            line = self._lines.pop(follower)
            turn = line.popleft()
            self._waiting -= 1
            if line:
                self._lines[follower] = line  # behind the others
            if not turn.done():
                self._take(follower)
                turn.set_result(None)

    def _next(self) -> str | None:
        """Return the first tenant in line that has not its share; there are few that have."""
        if not self._free:
            return None
        share = self._share()
        for tenant in self._lines:
            if self._taken.get(tenant, 0) < share:
                return tenant
        return None

    def _share(self) -> int:
        together = asyncio.get_running_loop().time() < self._together_until
        return self._share_max if together else self._at_once_max

    def _take(self, tenant: str) -> None:
        self._free -= 1
        self._taken[tenant] = self._taken.get(tenant, 0) + 1


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
