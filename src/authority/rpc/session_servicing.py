"""BudgetService: sessions, in which frames of operations go in and frames of results come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from authority.domain.errors import InvalidRequest, PaymasterError, Unavailable
from authority.rpc.operations import Operations
from authority.rpc.outcomes import outcome_of
from authority.rpc.shield import Shield
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc

FRAME_MAX = 500
# Of one session: read and not yet answered.
UNDER_WAY_MAX = 1000
# A whole frame would hold up everybody for some milliseconds.
_STARTED_AT_ONCE = 64
# gRPC takes messages of 4 MiB by default; a single result is far smaller than what is left.
_FRAME_BYTES_MAX = 3 * 1024 * 1024

Call = grpc.aio.ServicerContext[Any, Any]


class SessionServicing(budget_service_pb2_grpc.BudgetServiceServicer):
    """The part of BudgetService that is about sessions."""

    _operations: Operations
    _shield: Shield
    _draining: asyncio.Event

    async def Apply(
        self, requests: AsyncIterator[messages.ApplyRequest], context: Call
    ) -> AsyncIterator[messages.ApplyResponse]:
        session = _Session(self._operations, self._shield)
        reading = asyncio.create_task(session.read(requests, self._draining), name="session")
        reading.add_done_callback(session.finished)
        try:
            async for frame in session.frames():
                yield frame
            await reading
        finally:
            # The caller may have left: what has begun goes on behind the shield.
            reading.cancel()
            with suppress(asyncio.CancelledError, PaymasterError):
                await reading


class _Session:
    """What one session has under way. `read` starts operations, `frames` yields their results."""

    def __init__(self, operations: Operations, shield: Shield) -> None:
        self._shield = shield
        self._under_way = 0  # read, and their results not sent yet
        self._ready = _Frames()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._finished = False
        self._verbs: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "reserve": operations.reserve,
            "commit": operations.commit,
            "release": operations.release,
            "refund": operations.refund,
            "extend": operations.extend,
            "error": _refuse,
        }

    def finished(self, _reading: asyncio.Task[None]) -> None:
        """Let `frames` end once all is answered."""
        self._finished = True
        self._wake.set()

    async def frames(self) -> AsyncIterator[messages.ApplyResponse]:
        """Yield results as they become ready; what is ready at the same moment shares a frame."""
        while not self._finished or self._under_way:
            await self._wake.wait()
            self._wake.clear()
            for frame in self._ready.take():
                yield frame
                # Only now: a caller that reads no results must not be read either.
                self._under_way -= len(frame.results)
                self._room.set()

    async def read(
        self, requests: AsyncIterator[messages.ApplyRequest], draining: asyncio.Event
    ) -> None:
        """Start what is read, until the caller has closed its side or the server is to stop.

        Raises:
            InvalidRequest: a frame of a wrong size.
            Unavailable: the server is about to stop.
            PaymasterError: a frame was refused.

        """
        reading = asyncio.create_task(self._read(requests))
        stop = asyncio.create_task(draining.wait())
        try:
            await asyncio.wait([reading, stop], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise Unavailable("The authority is about to stop; open a new session.")
            await reading
        finally:
            reading.cancel()
            stop.cancel()

    async def _read(self, requests: AsyncIterator[messages.ApplyRequest]) -> None:
        async for frame in requests:
            if not 1 <= len(frame.operations) <= FRAME_MAX:
                raise InvalidRequest.of(
                    "operations",
                    f"must have 1 to {FRAME_MAX} operations, not {len(frame.operations)}",
                )
            for number, operation in enumerate(frame.operations):
                if number and number % _STARTED_AT_ONCE == 0:
                    await asyncio.sleep(0)  # others are served too
                while self._under_way >= UNDER_WAY_MAX:
                    self._room.clear()
                    await self._room.wait()
                self._under_way += 1
                self._shield.start(self._apply(operation))

    async def _apply(self, operation: messages.ApplyOperation) -> None:
        verb = operation.WhichOneof("request") or "error"
        request = operation if verb == "error" else getattr(operation, verb)
        outcome = await outcome_of(self._verbs[verb], request)
        name = "error" if isinstance(outcome, status_pb2.Status) else verb
        self._ready.add(operation.call_number, name, outcome)
        self._wake.set()


async def _refuse(_operation: messages.ApplyOperation) -> None:
    raise InvalidRequest.of("request", "must be set: reserve, commit, release, refund or extend")


class _Frames:
    """Puts results into as few messages as gRPC takes."""

    def __init__(self) -> None:
        self._full: list[messages.ApplyResponse] = []
        self._last = messages.ApplyResponse()
        self._size = 0  # of the last, in bytes

    def add(self, call_number: int, name: str, outcome: Message) -> None:
        """Put one result behind the others."""
        added = outcome.ByteSize()
        if self._size and self._size + added > _FRAME_BYTES_MAX:
            self._full.append(self._last)
            self._last, self._size = messages.ApplyResponse(), 0
        self._last.results.add(call_number=call_number, **{name: outcome})
        self._size += added

    def take(self) -> list[messages.ApplyResponse]:
        """Return the messages, and begin anew."""
        frames = [*self._full, self._last] if self._last.results else self._full
        self._full, self._last, self._size = [], messages.ApplyResponse(), 0
        return frames
