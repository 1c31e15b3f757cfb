"""BudgetService: sessions, in which frames of operations go in and frames of results come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import grpc
from google.rpc import status_pb2

from authority.domain.errors import InvalidRequest, PaymasterError, Unavailable
from authority.rpc.operations import Operations
from authority.rpc.outcomes import Outcomes
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc

FRAME_MAX = 500
# Of one session: read and not yet answered.
UNDER_WAY_MAX = 1000
# gRPC takes messages of 4 MiB by default; a single result is far smaller than what is left.
_FRAME_BYTES_MAX = 3 * 1024 * 1024

Call = grpc.aio.ServicerContext[Any, Any]


class SessionServicing(budget_service_pb2_grpc.BudgetServiceServicer):
    """The part of BudgetService that is about sessions."""

    _operations: Operations
    _outcomes: Outcomes
    _draining: asyncio.Event

    async def Apply(
        self, requests: AsyncIterator[messages.ApplyRequest], context: Call
    ) -> AsyncIterator[messages.ApplyResponse]:
        session = _Session(self._operations, self._outcomes)
        work = asyncio.create_task(session.work(requests, self._draining), name="session")
        work.add_done_callback(session.finished)
        try:
            async for frame in session.frames():
                yield frame
            await work
        finally:
            # The caller has left: what has begun goes on behind the operations' shield.
            work.cancel()
            with suppress(asyncio.CancelledError, PaymasterError):
                await work


class _Session:
    """What one session has under way. `work` fills `frames`."""

    def __init__(self, operations: Operations, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._places = asyncio.Semaphore(UNDER_WAY_MAX)
        self._ready: list[messages.ApplyResult] = []
        self._wake = asyncio.Event()
        self._finished = False
        self._verbs: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "reserve": operations.reserve,
            "commit": operations.commit,
            "release": operations.release,
            "refund": operations.refund,
            "extend": operations.extend,
        }

    def finished(self, _work: asyncio.Task[None]) -> None:
        """Let `frames` end."""
        self._finished = True
        self._wake.set()

    async def frames(self) -> AsyncIterator[messages.ApplyResponse]:
        """Yield results as they become ready; what is ready at the same moment shares a frame."""
        while not self._finished or self._ready:
            await self._wake.wait()
            self._wake.clear()
            ready, self._ready = self._ready, []
            for frame in _frames_of(ready):
                yield frame
                # Only now: a caller that reads no results must not be read either.
                for _ in frame.results:
                    self._places.release()

    async def work(
        self, requests: AsyncIterator[messages.ApplyRequest], draining: asyncio.Event
    ) -> None:
        """Run what is read, until the caller has closed its side or the server is to stop.

        Raises:
            InvalidRequest: a frame of a wrong size.
            Unavailable: the server is about to stop.
            PaymasterError: a frame was refused.

        """
        end: PaymasterError | None = None
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(requests, group))
            stop = group.create_task(draining.wait())
            await asyncio.wait([reading, stop], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                end = reading.result()
            else:
                end = Unavailable("The authority is about to stop; open a new session.")
            reading.cancel()
            stop.cancel()
            # Leaving the group waits for what is under way.
        if end is not None:
            raise end

    async def _read(
        self, requests: AsyncIterator[messages.ApplyRequest], group: asyncio.TaskGroup
    ) -> PaymasterError | None:
        """Start what is read. Return why reading ended early."""
        try:
            async for frame in requests:
                if not 1 <= len(frame.operations) <= FRAME_MAX:
                    raise InvalidRequest.of(
                        "operations",
                        f"must have 1 to {FRAME_MAX} operations, not {len(frame.operations)}",
                    )
                for operation in frame.operations:
                    await self._places.acquire()
                    group.create_task(self._apply(operation))
        except PaymasterError as error:
            # Returned, since a group ends all its tasks with the first that raises.
            return error
        return None

    async def _apply(self, operation: messages.ApplyOperation) -> None:
        verb = operation.WhichOneof("request")
        outcome = (
            await self._outcomes.of(self._verbs[verb], getattr(operation, verb))
            if verb
            else await self._outcomes.of(_refuse, operation)
        )
        result = messages.ApplyResult(call_number=operation.call_number)
        name = "error" if verb is None or isinstance(outcome, status_pb2.Status) else verb
        getattr(result, name).CopyFrom(outcome)
        self._ready.append(result)
        self._wake.set()


async def _refuse(_operation: messages.ApplyOperation) -> None:
    raise InvalidRequest.of("request", "must be set: reserve, commit, release, refund or extend")


def _frames_of(results: Iterable[messages.ApplyResult]) -> Iterator[messages.ApplyResponse]:
    """Put results into as few messages as gRPC takes."""
    frame, size = messages.ApplyResponse(), 0
    for result in results:
        added = result.ByteSize()
        if frame.results and size + added > _FRAME_BYTES_MAX:
            yield frame
            frame, size = messages.ApplyResponse(), 0
        frame.results.append(result)
        size += added
    if frame.results:
        yield frame
