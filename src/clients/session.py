"""What carries the operations of an async client: one stream at a time, opened when it is needed.

A stream that breaks leaves the outcome of what was under way unknown: each such operation is
repeated with its own key over a new stream, as the retry policy says. One that is refused as a
whole, for what only one of its operations may have done, says nothing of the others: each of them
then goes by a call of its own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from authority.v1 import budget_service_pb2 as messages
from clients.concurrency import Sleep, check_home
from clients.connection import check_timeout
from clients.errors import DeadlineExceeded, PaymasterError, Unavailable, Violation
from clients.requests import invalid
from clients.retry import RetryPolicy
from clients.status import error_from_status
from clients.stream import FRAME_BYTES_MAX, Call, Stream, StreamRefused

_SECONDS_MIN = 0.001


class Session:
    """Carries operations over streams; each has its own deadline, key, and answer or error."""

    def __init__(
        self,
        open_call: Callable[[], Call],
        alone: Callable[[str, Any, float], Awaitable[Any]],
        *,
        address: str,
        timeout: float,
        retry: RetryPolicy,
        sleep: Sleep,
    ) -> None:
        """Take over from a client: how to call Apply, and how to call for one operation alone."""
        self._open_call = open_call
        self._alone = alone
        self._address = address
        self._timeout = timeout
        self._retry = retry
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._stream: Stream | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._closed = False

    def __del__(self) -> None:
        """End the stream of a client that nobody has closed."""
        if self._stream is not None and not self._stream.ended:
            # Garbage may be collected in any thread, and after the loop's end.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stream.abandon)

    async def apply(self, verb: str, request: Any, timeout: float | None) -> Any:
        """Return the response to one operation. Raises the error that the authority answers.

        Tries again while the policy says so. Raises InvalidRequest for what fits in no frame.
        """
        check_home(self._loop)
        if self._closed:
            raise RuntimeError("the client is closed; make another")
        timeout = self._timeout if timeout is None else check_timeout(timeout)
        deadline = self._loop.time() + timeout
        number = next(self._numbers)
        frame = _frame(number, verb, request)
        attempt = 1
        self._under_way += 1
        try:
            while True:
                try:
                    result = await self._open_stream().send(number, frame, deadline)
                    if result.HasField("error"):
                        raise error_from_status(result.error)
                    return getattr(result, verb)
                except Unavailable as error:
                    delay = self._retry.delay(error, attempt, deadline - self._loop.time())
                    if delay is None:
                        raise
                except StreamRefused:
                    seconds = max(deadline - self._loop.time(), _SECONDS_MIN)
                    return await self._alone(verb, request, seconds)
                except TimeoutError:
                    raise self._late(timeout) from None
                await self._sleep(delay)
                attempt += 1
        except PaymasterError as error:
            error.idempotency_key = request.idempotency_key
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def close(self) -> None:
        """Take no more operations, wait for those under way, and end the stream."""
        self._closed = True
        try:
            while self._under_way:
                self._idle.clear()
                await self._idle.wait()
            if self._stream is not None:
                async with asyncio.timeout(self._timeout):
                    await self._stream.finish()
        except TimeoutError:
            pass  # All is answered; the authority only did not say goodbye.
        finally:
            if self._stream is not None:
                self._stream.abandon()

    def _open_stream(self) -> Stream:
        if self._stream is None or self._stream.ended:
            self._stream = Stream(self._open_call(), self._address)
        return self._stream

    def _late(self, timeout: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The authority at {self._address} gave no answer within {timeout:g} s; the outcome is "
            "unknown. Repeating the call with the same idempotency key is safe."
        )


def _frame(number: int, verb: str, request: Any) -> bytes:
    """Return a frame of one operation. Raises InvalidRequest if it is larger than frames may be."""
    frame = messages.ApplyRequest()
    getattr(frame.operations.add(call_number=number), verb).CopyFrom(request)
    wire = frame.SerializeToString()
    if len(wire) > FRAME_BYTES_MAX:
        raise invalid(Violation("request", f"is larger than {FRAME_BYTES_MAX} bytes"))
    return wire
