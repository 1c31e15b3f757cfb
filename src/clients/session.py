"""A session: many operations over one stream, each answered by itself. Async only.

What is queued at the same moment shares a frame; results come back as they are done, and are told
apart by their call numbers. A stream that breaks leaves the outcome of what was under way unknown:
each such call is repeated with its own key over a new stream, as the retry policy says.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc

from authority.v1 import budget_service_pb2 as messages
from clients.concurrency import Sleep
from clients.connection import check_timeout
from clients.errors import DeadlineExceeded, PaymasterError, Unavailable, Violation
from clients.operation_calls import OperationCalls
from clients.requests import invalid
from clients.retry import RetryPolicy
from clients.status import error_from_rpc, error_from_status

FRAME_MAX = 500
# The authority reads messages of up to 4 MiB.
FRAME_BYTES_MAX = 3 * 1024 * 1024

Call = grpc.aio.StreamStreamCall[messages.ApplyRequest, messages.ApplyResponse]


class Session(OperationCalls):
    """Operations over one stream; tasks await them at the same time.

    `AuthorityClient.session` opens one. It belongs to that client and its event loop.
    """

    def __init__(
        self,
        open_call: Callable[[], Call],
        *,
        address: str,
        timeout: float,
        retry: RetryPolicy,
        sleep: Sleep,
    ) -> None:
        """Take over from a client: how to call Apply, and how long and often to try."""
        self._open_call = open_call
        self._address = address
        self._timeout = timeout
        self._retry = retry
        self._sleep = sleep
        self._stream: _Stream | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def close(self) -> None:
        """Take no more operations, wait for those under way, and end the stream."""
        self._closed = True
        try:
            await self._idle.wait()
            if self._stream is not None:
                async with asyncio.timeout(self._timeout):
                    await self._stream.finish()
        except TimeoutError:
            pass  # All is answered; the authority only did not say goodbye.
        finally:
            if self._stream is not None:
                self._stream.abandon()

    async def _operate(self, verb: str, request: Any, timeout: float | None) -> Any:
        if self._closed:
            raise RuntimeError("the session is closed; open another with `client.session()`")
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._repeat(verb, request, timeout)
        except PaymasterError as error:
            error.idempotency_key = request.idempotency_key
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _repeat(self, verb: str, request: Any, timeout: float | None) -> Any:
        """Apply an operation, and try again while the policy says so."""
        timeout = check_timeout(timeout) if timeout is not None else self._timeout
        deadline = time.monotonic() + timeout
        attempt = 1
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await self._open_stream().apply(verb, request)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"The authority at {self._address} gave no answer within {timeout:g} s; the "
                    "outcome is unknown. Repeating the call with the same idempotency key is safe."
                ) from None
            except Unavailable as error:
                delay = self._retry.delay(error, attempt, deadline - time.monotonic())
                if delay is None:
                    raise
            await self._sleep(delay)
            attempt += 1

    def _open_stream(self) -> _Stream:
        if self._stream is None or self._stream.ended:
            self._stream = _Stream(self._open_call(), self._address)
        return self._stream


class _Stream:
    """One Apply call: what waits to be sent, and who waits for which result."""

    def __init__(self, call: Call, address: str) -> None:
        self.ended = False
        self._call = call
        self._address = address
        self._numbers = itertools.count(1)
        self._queue: deque[messages.ApplyOperation] = deque()
        self._queued = asyncio.Event()
        self._results: dict[int, asyncio.Future[messages.ApplyResult]] = {}
        self._writing = asyncio.create_task(self._write(), name="session writer")
        self._reading = asyncio.create_task(self._read(), name="session reader")

    async def apply(self, verb: str, request: Any) -> Any:
        """Return the response to one operation. Raises the error that the authority answers.

        Raises Unavailable if the stream breaks, and InvalidRequest for what fits in no frame.
        """
        number = next(self._numbers)
        operation = messages.ApplyOperation(call_number=number, **{verb: request})
        if operation.ByteSize() > FRAME_BYTES_MAX:
            raise invalid(Violation("request", f"is larger than {FRAME_BYTES_MAX} bytes"))
        self._results[number] = asyncio.get_running_loop().create_future()
        self._queue.append(operation)
        self._queued.set()
        try:
            result = await self._results[number]
        finally:
            del self._results[number]
        if result.HasField("error"):
            raise error_from_status(result.error)
        return getattr(result, verb)

    async def finish(self) -> None:
        """Close this side, and wait until the authority has closed its own."""
        self._writing.cancel()
        with suppress(asyncio.InvalidStateError):  # It has ended already.
            await self._call.done_writing()
        await asyncio.wait([self._reading])

    def abandon(self) -> None:
        """End the stream, whatever is under way."""
        self._writing.cancel()
        self._call.cancel()

    async def _write(self) -> None:
        """Send what is queued; what is queued while a frame is on its way shares the next one."""
        # What a broken stream says, the reader hears as well.
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                await self._queued.wait()
                self._queued.clear()
                while operations := self._next_frame():
                    await self._call.write(messages.ApplyRequest(operations=operations))

    def _next_frame(self) -> list[messages.ApplyOperation]:
        frame: list[messages.ApplyOperation] = []
        size = 0
        while self._queue and len(frame) < FRAME_MAX:
            if not self._is_waited_for(self._queue[0].call_number):
                self._queue.popleft()  # its caller has left before it was sent
                continue
            size += self._queue[0].ByteSize()
            if frame and size > FRAME_BYTES_MAX:
                break
            frame.append(self._queue.popleft())
        return frame

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
            self._writing.cancel()
            for future in self._results.values():
                if not future.done():
                    future.set_exception(self._error(failure))

    def _hand_over(self, result: messages.ApplyResult) -> None:
        if self._is_waited_for(result.call_number):
            self._results[result.call_number].set_result(result)

    def _is_waited_for(self, number: int) -> bool:
        future = self._results.get(number)
        return future is not None and not future.done()

    def _error(self, failure: grpc.RpcError | None) -> PaymasterError:
        """Return why an operation of this stream has no answer; a new one for each of them."""
        if failure is None:
            return Unavailable("The authority has ended the session; the outcome is unknown.")
        error = error_from_rpc(failure, address=self._address, timeout=0)
        if not error.outcome_unknown or isinstance(error, Unavailable):
            return error
        return Unavailable(f"The session broke, the outcome is unknown: {error}")
