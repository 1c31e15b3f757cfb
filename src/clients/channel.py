"""What every client shares: a channel, the token, a deadline on every call, and retries."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from clients.concurrency import Sleep, check_home, home_loop, sleep
from clients.connection import OPTIONS, check_address, check_timeout, metadata_for
from clients.errors import PaymasterError, Unavailable
from clients.retry import RetryPolicy
from clients.status import error_from_rpc, error_from_status

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Result = TypeVar("_Result")

OUTAGE_SECONDS_MAX = 60.0
_SECONDS_MIN = 0.001


class Client:
    """A connection to one authority. Use it with `async with`, or close it.

    An async client belongs to the event loop that it was made in; threads may share a sync one.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        timeout: float = 2.0,
        channel_credentials: grpc.ChannelCredentials | None = None,
        retry: RetryPolicy | None = None,
        sleep: Sleep = sleep,
    ) -> None:
        """Connect to `address` (`host:port`) when the first call is made.

        `timeout`, in seconds, bounds each call with all its retries. With `channel_credentials` the
        connection is TLS. Raises ValueError for an address, token or timeout that can't be, and
        RuntimeError outside of an event loop.
        """
        self._address = check_address(address)
        self._timeout = check_timeout(timeout)
        self._metadata = metadata_for(token)
        self._retry = retry or RetryPolicy()
        self._sleep = sleep
        self._home = home_loop()
        self._channel = (
            grpc.aio.secure_channel(address, channel_credentials, options=OPTIONS)
            if channel_credentials
            else grpc.aio.insecure_channel(address, options=OPTIONS)
        )
        self._make_stub()

    def _make_stub(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        *,
        timeout: float | None = None,
        key: str = "",
        repeatable: bool = True,
    ) -> _Response:
        """Call, and try again while the policy says so.

        `key` is the request's idempotency key, which an error carries to the caller. A call that is
        not `repeatable` changes something and has no key, so it is tried once.
        """
        check_home(self._home)
        timeout = check_timeout(timeout) if timeout is not None else self._timeout
        deadline = time.monotonic() + timeout
        attempt = 1
        while True:
            try:
                return await method(
                    request, timeout=deadline - time.monotonic(), metadata=self._metadata
                )
            except grpc.RpcError as rpc_error:
                error = error_from_rpc(rpc_error, address=self._address, timeout=timeout)
                error.idempotency_key = key
                delay = self._retry.delay(error, attempt, deadline - time.monotonic())
                if delay is None or not repeatable:
                    raise error from rpc_error
            await self._sleep(delay)
            attempt += 1

    async def _pages(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Any, _Response],
        request: Any,
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[_Response]:
        """Yield the pages of a list from its first to its last; the timeout is that of each."""
        token = ""
        while True:
            request.page_token = token
            response: Any = await self._call(method, request, timeout=timeout)
            yield response
            token = response.next_page_token
            if not token:
                return

    async def _batch(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Any, Any],
        make: Callable[..., Any],
        items: Sequence[Any],
        read: Callable[[Any], _Result],
        timeout: float | None,
    ) -> list[_Result | PaymasterError]:
        """Send items in one call, and those that were unavailable again; return what `read` gets.

        Raises what befell the call as a whole, if no item has an answer.
        """
        timeout = check_timeout(timeout) if timeout is not None else self._timeout
        deadline = time.monotonic() + timeout
        outcomes: dict[int, _Result | PaymasterError] = {}
        waiting = dict(enumerate(items))
        attempt = 1
        while True:
            remaining = max(deadline - time.monotonic(), _SECONDS_MIN) if outcomes else timeout
            try:
                response = await self._call(
                    method, make(requests=waiting.values()), timeout=remaining
                )
            except PaymasterError:
                if not outcomes:
                    raise
                break  # What the authority said of each item before stands.
            for place, result in zip(waiting, response.results, strict=True):
                if result.HasField("response"):
                    outcomes[place] = read(result.response)
                    continue
                error = error_from_status(result.error)
                error.idempotency_key = items[place].idempotency_key
                outcomes[place] = error
            lost = {
                place: error for place, error in outcomes.items() if isinstance(error, Unavailable)
            }
            if not lost:
                break
            first = next(iter(lost.values()))
            delay = self._retry.delay(first, attempt, deadline - time.monotonic())
            if delay is None:
                break
            await self._sleep(delay)
            waiting = {place: items[place] for place in lost}
            attempt += 1
        return [outcomes[place] for place in range(len(items))]

    async def _watch(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Any, Any],
        request: Any,
        outage_max: float,
    ) -> AsyncGenerator[Any]:
        """Yield the responses of a stream that shows how something is; it starts anew if it ends.

        Raises Unavailable once the authority has been away for `outage_max` seconds, or if it can't
        be reached to begin with.
        """
        check_home(self._home)
        deadline: float | None = time.monotonic() + self._timeout
        answered, attempt = False, 1
        while True:
            call = method(request, metadata=self._metadata)
            try:
                async for response in call:
                    deadline, attempt, answered = None, 1, True
                    yield response
                error: PaymasterError = Unavailable("The authority has ended the watch.")
            except grpc.RpcError as rpc_error:
                error = error_from_rpc(rpc_error, address=self._address, timeout=self._timeout)
            finally:
                call.cancel()  # for a caller that stops before the end
            deadline = deadline or time.monotonic() + outage_max
            if answered:
                # From the first answer on only time counts, not attempts.
                attempt = min(attempt, max(self._retry.attempts_max - 1, 1))
            delay = self._retry.delay(error, attempt, deadline - time.monotonic())
            if delay is None:
                raise error
            await self._sleep(delay)
            attempt += 1
