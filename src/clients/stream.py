"""One Apply call: frames of operations out, frames of results in, and who waits for which of them.

There is no timer: a frame leaves as soon as the one before it is on its way, and carries all that
was queued until then. Results come back as they are done, told apart by their call numbers.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

import grpc

from authority.v1 import budget_service_pb2 as messages
from clients.errors import NotSignedIn, PaymasterError, Unavailable
from clients.status import error_from_rpc

FRAME_MAX = 500
# The authority reads messages of up to 4 MiB.
FRAME_BYTES_MAX = 3 * 1024 * 1024
# The resolution of an event loop's timers, of which some come too early by as much.
_TICK_SECONDS = 0.001

Call = grpc.aio.StreamStreamCall[bytes, messages.ApplyResponse]
Result = asyncio.Future[messages.ApplyResult]


class StreamRefused(Exception):
    """The stream was refused or ended for a reason that need not be the operation's own."""


class Stream:
    """What waits to be sent over one call, and who waits for which result."""

    def __init__(self, call: Call, address: str) -> None:
        """Take over a call that has just been made. `address` is for messages."""
        self.ended = False
        self._call = call
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._queued = asyncio.Event()
        self._finishing = False
        self._waiting: dict[int, tuple[Result, float]] = {}
        self._sweep_time = math.inf
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.create_task(self._write(), name="session writer")
        self._reading = asyncio.create_task(self._read(), name="session reader")

    def send(self, number: int, frame: bytes, deadline: float) -> Result:
        """Queue an operation, as the bytes of a frame that has nothing else.

        The result raises TimeoutError at the deadline, by the loop's clock. If the stream ends, it
        raises Unavailable, NotSignedIn or StreamRefused. One that is cancelled is forgotten, and
        not even sent if it still can be helped.
        """
        result: Result = self._loop.create_future()
        self._waiting[number] = (result, deadline)
        self._queue.append((number, frame))
        self._queued.set()
        if deadline < self._sweep_time:
            self._sweep_at(deadline)
        return result

    async def finish(self) -> None:
        """Close this side, and wait until the authority has closed its own."""
        self._finishing = True
        self._queued.set()
        await asyncio.wait([self._reading])

    def abandon(self) -> None:
        """End the stream, whatever is under way."""
        self._call.cancel()

    async def _write(self) -> None:
        """Send what is queued. gRPC takes one message at a time, so nobody else may write."""
        try:
            while not self._finishing:
                await self._queued.wait()
                self._queued.clear()
                while frame := self._next_frame():
                    await self._call.write(frame)
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # What a broken stream says, the reader hears as well.
        finally:
            if not self._finishing:
                self._call.cancel()

    def _next_frame(self) -> bytes:
        """Return as many queued operations as fit, without those that nobody waits for."""
        parts: list[bytes] = []
        size = 0
        while self._queue and len(parts) < FRAME_MAX:
            number, part = self._queue[0]
            if number in self._waiting and not self._waiting[number][0].done():
                size += len(part)
                if parts and size > FRAME_BYTES_MAX:
                    break
                parts.append(part)
            self._queue.popleft()
        # By the rules of protobuf, messages one after the other are one with all of their items.
        return b"".join(parts)

    async def _read(self) -> None:
        """Hand results to those who wait for them, until the stream ends."""
        failure: grpc.RpcError | None = None
        try:
            while isinstance(frame := await self._call.read(), messages.ApplyResponse):
                for result in frame.results:
                    self._hand_over(result)
        except grpc.RpcError as rpc_error:
            failure = rpc_error
        finally:
            self.ended = True
            self._call.cancel()
            self._writing.cancel()
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
            for waiting, _ in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self._error(failure))

    def _hand_over(self, result: messages.ApplyResult) -> None:
        waiting, _ = self._waiting.pop(result.call_number, (None, 0.0))
        if waiting is not None and not waiting.done():
            waiting.set_result(result)

    def _sweep_at(self, time: float) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._sweep_time = time
        self._sweep_timer = self._loop.call_at(time, self._sweep)

    def _sweep(self) -> None:
        """Tell those whose deadline has passed, and come again when the next one does."""
        now = self._loop.time() + _TICK_SECONDS
        late = [number for number, (_, deadline) in self._waiting.items() if deadline <= now]
        for number in late:
            waiting, _ = self._waiting.pop(number)
            if not waiting.done():
                waiting.set_exception(TimeoutError())
        self._sweep_time = math.inf
        if self._waiting:
            self._sweep_at(min(deadline for _, deadline in self._waiting.values()))

    def _error(self, failure: grpc.RpcError | None) -> Exception:
        """Return why an operation of this stream has no answer; a new one for each of them."""
        if failure is None:
            return Unavailable("The authority has ended the session; the outcome is unknown.")
        error: PaymasterError = error_from_rpc(failure, address=self._address, timeout=0)
        if isinstance(error, Unavailable | NotSignedIn):
            return error
        if error.outcome_unknown:
            return Unavailable(f"The session broke, the outcome is unknown: {error}")
        return StreamRefused(str(error))
