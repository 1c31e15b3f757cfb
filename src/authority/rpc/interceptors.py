"""What happens around every call: sign-in, scope, tenant, and errors turned into statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import grpc
import structlog
import uuid_utils
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from authority.domain.callers import Caller
from authority.domain.errors import InvalidRequest, OutOfTime, PaymasterError
from authority.rpc.access import CHECKED_BY_ITEM, check_scope, check_tenant
from authority.rpc.caller import enter_call
from authority.rpc.status import abort, internal_status
from authority.usecases.credentials import Credentials

# Health is asked by probes that hold no token, reflection by tools that only read the proto.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")

# For callers that set no deadline. What they asked for goes on; they may ask again with the same
# key. Streams last as long as their caller wants.
_CALL_SECONDS_MAX = 30.0

# A message is read whole before anything is known of it.
MESSAGE_BYTES_MAX = 4 * 1024 * 1024

_BEARER = "Bearer "

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)


class Calls(grpc.GenericRpcHandler):
    """Lets callers in to what is theirs, and nothing but well-formed statuses out.

    Services are added to it as to a server (`add_BudgetServiceServicer_to_server`), and it is added
    to the server as the one handler of all. It is no interceptor, which gRPC would set up anew for
    each call; and a server that has methods registered looks at each of them at each call.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take nothing: generated code says all of it by `add_registered_method_handlers` too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Take the methods of a service."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = self._guarded(method, handler)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return what handles a call; None if there is no such method."""
        return self._handlers.get(handler_call_details.method)

    def _guarded(self, method: str, handler: Handler) -> Handler:
        """Wrap the handler of a method, of whichever of the four kinds it is."""
        if method.startswith(_OPEN_TO_ALL):
            return handler
        enter = partial(Gate, self._credentials, method)
        codec = (_reader(handler.request_deserializer), handler.response_serializer)
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                single = _single(handler.unary_unary, enter)
                return grpc.unary_unary_rpc_method_handler(single, *codec)
            case False, True:
                watched = _watched(handler.unary_stream, enter)
                return grpc.unary_stream_rpc_method_handler(watched, *codec)
            case True, False:
                gathered = _gathered(handler.stream_unary, enter)
                return grpc.stream_unary_rpc_method_handler(gathered, *codec)
            case _:
                session = _session(handler.stream_stream, enter)
                return grpc.stream_stream_rpc_method_handler(session, *codec)


class Gate:
    """What one call's messages have to pass.

    The token is asked for at every message: a stream does not outlive its key by more than that.
    """

    def __init__(self, credentials: Credentials, method: str, context: Context) -> None:
        self.method = method
        self._credentials = credentials
        self._token = _token_of(context)
        self._refusal: Exception | None = None

    async def sign_in(self) -> Caller:
        """Let the caller in. Raises NotSignedIn, NotAllowed (the scope), Unavailable."""
        credentials, token = self._credentials, self._token
        caller = credentials.known(token) or await credentials.caller(token)
        check_scope(self.method, caller)
        enter_call(caller)
        return caller

    async def admit(self, request: Any) -> None:
        """Let a message in. Raises what `sign_in` does, InvalidRequest, NotAllowed (the tenant)."""
        caller = await self.sign_in()
        if isinstance(request, _Unread):
            log.warning("message_refused", method=self.method, bytes=request.size, caller=caller.id)
            raise InvalidRequest.of("request", request.problem)
        if self.method not in CHECKED_BY_ITEM:
            check_tenant(request, caller)

    async def admitted(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the messages of a caller's stream, each one checked before it is seen."""
        try:
            async for request in requests:
                await self.admit(request)
                yield request
        except PaymasterError as refusal:
            self._refusal = refusal
            raise

    def check_refusal(self) -> None:
        """Raise what a message of the stream was refused for, whatever its reader made of it."""
        if self._refusal is not None:
            raise self._refusal

    async def answer(self, error: Exception, context: Context) -> NoReturn:
        """End the call with the status of an error."""
        error = self._refusal or error
        if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
            raise error
        if isinstance(error, TimeoutError):
            error = OutOfTime(
                "The call took too long; the outcome is unknown. Ask again, same key."
            )
        if isinstance(error, PaymasterError):
            await abort(context, error)
        request_id = str(uuid_utils.uuid7())
        log.error("call_failed", method=self.method, request_id=request_id, exc_info=error)
        status = rpc_status.to_status(internal_status(request_id))
        await context.abort(status.code, status.details, status.trailing_metadata)
        raise AssertionError("abort raises")


Enter: TypeAlias = Callable[[Context], Gate]


def _single(inner: Any, enter: Enter) -> Any:
    async def handle(request: Any, context: Context) -> Any:
        gate = enter(context)
        try:
            if context.time_remaining() is not None:
                # gRPC itself ends the call when its caller's deadline has passed.
                await gate.admit(request)
                return await inner(request, context)
            async with asyncio.timeout(_CALL_SECONDS_MAX):
                await gate.admit(request)
                return await inner(request, context)
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)

    return handle


def _watched(inner: Any, enter: Enter) -> Any:
    async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
        gate = enter(context)
        try:
            await gate.admit(request)
            async with aclosing(inner(request, context)) as answers:
                async for message in answers:
                    await gate.sign_in()
                    yield message
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)

    return handle


def _gathered(inner: Any, enter: Enter) -> Any:
    async def handle(requests: AsyncIterator[Any], context: Context) -> Any:
        gate = enter(context)
        try:
            await gate.sign_in()
            result = await inner(gate.admitted(requests), context)
            gate.check_refusal()
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)
        return result

    return handle


def _session(inner: Any, enter: Enter) -> Any:
    async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        gate = enter(context)
        try:
            await gate.sign_in()
            async with aclosing(inner(gate.admitted(requests), context)) as answers:
                async for message in answers:
                    yield message
            gate.check_refusal()
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)

    return handle


class _Unread(NamedTuple):
    """What came in place of a message."""

    problem: str
    size: int  # in bytes


def _reader(deserialize: Any) -> Any:
    """Return a deserializer that says what is wrong, where gRPC's says UNKNOWN, or nothing."""

    def read(body: bytes) -> Any:
        if len(body) > MESSAGE_BYTES_MAX:
            problem = f"is {len(body)} bytes long; send at most {MESSAGE_BYTES_MAX}, in parts"
            return _Unread(problem, len(body))
        try:
            return deserialize(body)
        except DecodeError:
            problem = "is not the message of this method; text in it must be UTF-8"
            return _Unread(problem, len(body))

    return read


def _token_of(context: Context) -> str:
    """Return the token that a call was sent with; '' if there is none."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return value.removeprefix(_BEARER)
    return ""
