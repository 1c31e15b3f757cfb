"""What happens around every call: sign-in, the request id, and errors turned into statuses."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, cast

import grpc
import structlog
import uuid_utils
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from authority.domain.callers import ROOT
from authority.domain.errors import InvalidRequest, NotSignedIn, OutOfTime, PaymasterError
from authority.rpc.caller import enter_call
from authority.rpc.status import abort, internal_status

# Health is asked by probes that hold no token, reflection by tools that only read the proto.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")

# For callers that set no deadline. What they asked for goes on; they may ask again with the same
# key.
_CALL_SECONDS_MAX = 30.0

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)


class Calls(grpc.aio.ServerInterceptor):
    """Asks for the token, and lets nothing but well-formed statuses out."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode() if token else b""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN_TO_ALL):
            return handler
        signed_in = self._signed_in(handler_call_details)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _guarded_stream(handler.unary_stream, method, signed_in),
                _reader(handler.request_deserializer),
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary, method, signed_in),
            _reader(handler.request_deserializer),
            handler.response_serializer,
        )

    def _signed_in(self, details: grpc.HandlerCallDetails) -> bool:
        if not self._expected:
            return True
        metadata = cast("list[tuple[str, str | bytes]]", details.invocation_metadata)
        given = dict(metadata).get("authorization", b"")
        return hmac.compare_digest(
            given.encode() if isinstance(given, str) else given, self._expected
        )


def _guarded(inner: Any, method: str, signed_in: bool) -> Any:
    async def handle(request: Any, context: Context) -> Any:
        try:
            _admit(request, signed_in)
            enter_call(ROOT)
            async with asyncio.timeout(_CALL_SECONDS_MAX):
                return await inner(request, context)
        except Exception as error:  # noqa: BLE001 - every error ends here
            await _answer_error(error, method, context)

    return handle


def _guarded_stream(inner: Any, method: str, signed_in: bool) -> Any:
    async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            _admit(request, signed_in)
            enter_call(ROOT)
            async for message in inner(request, context):
                yield message
        except Exception as error:  # noqa: BLE001 - every error ends here
            await _answer_error(error, method, context)

    return handle


def _reader(deserialize: Any) -> Any:
    """Return a deserializer that answers None to what it can't read, where gRPC says UNKNOWN."""

    def read(body: bytes) -> Any:
        try:
            return deserialize(body)
        except DecodeError:
            return None

    return read


def _admit(request: Any, signed_in: bool) -> None:
    if not signed_in:
        raise NotSignedIn(
            "The call has no valid token; send `authorization: Bearer TOKEN`, for instance with "
            "PAYMASTER_TOKEN_FILE naming the file that holds it."
        )
    if request is None:
        raise InvalidRequest.of(
            "request", "is not the message of this method; text in it must be UTF-8"
        )


async def _answer_error(error: Exception, method: str, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
        raise error
    if isinstance(error, TimeoutError):
        error = OutOfTime("The call took too long; the outcome is unknown. Ask again, same key.")
    if isinstance(error, PaymasterError):
        await abort(context, error)
    request_id = str(uuid_utils.uuid7())
    log.error("call_failed", method=method, request_id=request_id, exc_info=error)
    status = rpc_status.to_status(internal_status(request_id))
    await context.abort(status.code, status.details, status.trailing_metadata)
