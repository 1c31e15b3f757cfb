"""What happens around every call: sign-in, scope, tenant, and errors turned into statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import structlog
import uuid_utils
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from authority.domain.errors import InvalidRequest, OutOfTime, PaymasterError
from authority.rpc.access import check_scope, check_tenant
from authority.rpc.caller import enter_call
from authority.rpc.status import abort, internal_status
from authority.usecases.credentials import Credentials

# Health is asked by probes that hold no token, reflection by tools that only read the proto.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")

# For callers that set no deadline. What they asked for goes on; they may ask again with the same
# key. Streams last as long as their caller wants.
_CALL_SECONDS_MAX = 30.0

_BEARER = "Bearer "

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)


class Calls(grpc.aio.ServerInterceptor):
    """Lets callers in to what is theirs, and nothing but well-formed statuses out."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call, of whichever of the four kinds it is."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN_TO_ALL):
            return handler
        metadata = cast("list[tuple[str, str | bytes]]", handler_call_details.invocation_metadata)
        gate = Gate(self._credentials, method, dict(metadata).get("authorization", ""))
        codec = (_reader(handler.request_deserializer), handler.response_serializer)
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                single = _single(handler.unary_unary, gate)
                return grpc.unary_unary_rpc_method_handler(single, *codec)
            case False, True:
                watched = _watched(handler.unary_stream, gate)
                return grpc.unary_stream_rpc_method_handler(watched, *codec)
            case True, False:
                gathered = _gathered(handler.stream_unary, gate)
                return grpc.stream_unary_rpc_method_handler(gathered, *codec)
            case _:
                session = _session(handler.stream_stream, gate)
                return grpc.stream_stream_rpc_method_handler(session, *codec)


class Gate:
    """What one call's messages have to pass.

    The token is asked for at every message: a stream does not outlive its key by more than that.
    """

    def __init__(self, credentials: Credentials, method: str, authorization: str | bytes) -> None:
        self.method = method
        self._credentials = credentials
        text = authorization if isinstance(authorization, str) else ""
        self._token = text.removeprefix(_BEARER) if text.startswith(_BEARER) else ""
        self._refusal: Exception | None = None

    async def sign_in(self) -> None:
        """Let the caller in. Raises NotSignedIn, NotAllowed (the scope), Unavailable."""
        self._caller = await self._credentials.caller(self._token)
        check_scope(self.method, self._caller)
        enter_call(self._caller)

    async def admit(self, request: Any) -> None:
        """Let a message in. Raises what `sign_in` does, InvalidRequest, NotAllowed (the tenant)."""
        await self.sign_in()
        if request is None:
            raise InvalidRequest.of(
                "request", "is not the message of this method; text in it must be UTF-8"
            )
        check_tenant(request, self._caller)

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


def _single(inner: Any, gate: Gate) -> Any:
    async def handle(request: Any, context: Context) -> Any:
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


def _watched(inner: Any, gate: Gate) -> Any:
    async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            await gate.admit(request)
            async with aclosing(inner(request, context)) as answers:
                async for message in answers:
                    await gate.sign_in()
                    yield message
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)

    return handle


def _gathered(inner: Any, gate: Gate) -> Any:
    async def handle(requests: AsyncIterator[Any], context: Context) -> Any:
        try:
            await gate.sign_in()
            result = await inner(gate.admitted(requests), context)
            gate.check_refusal()
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)
        return result

    return handle


def _session(inner: Any, gate: Gate) -> Any:
    async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        try:
            await gate.sign_in()
            async with aclosing(inner(gate.admitted(requests), context)) as answers:
                async for message in answers:
                    yield message
            gate.check_refusal()
        except Exception as error:  # noqa: BLE001 - every error ends here
            await gate.answer(error, context)

    return handle


def _reader(deserialize: Any) -> Any:
    """Return a deserializer that answers None to what it can't read, where gRPC says UNKNOWN."""

    def read(body: bytes) -> Any:
        try:
            return deserialize(body)
        except DecodeError:
            return None

    return read
