"""An authority that answers what a test has written down, to see what a client makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from authority.v1 import (
    admin_service_pb2,
    alert_service_pb2,
    budget_service_pb2,
    cache_service_pb2,
    generation_service_pb2,
    health_service_pb2,
    insight_service_pb2,
    queue_service_pb2,
    reconciliation_service_pb2,
    usage_service_pb2,
)

_METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (
        *(admin_service_pb2, budget_service_pb2, generation_service_pb2),
        *(queue_service_pb2, cache_service_pb2, reconciliation_service_pb2),
        *(insight_service_pb2, usage_service_pb2, health_service_pb2),
        alert_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Refusal(Exception):
    """A status to answer, as the authority makes them."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str = "It is so.",
        fields: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        details: list[Message] = [error_details_pb2.ErrorInfo(domain="paymaster", reason=reason)]
        if fields:
            bad = error_details_pb2.BadRequest()
            for field, description in fields.items():
                bad.field_violations.add(field=field, description=description)
            details.append(bad)
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        self.status = status_pb2.Status(code=code.value[0], message=message, details=packed)


class ScriptedAuthority(grpc.GenericRpcHandler):
    """Serves every method by its name: a message, a Refusal, or a function of the request.

    `requests` has what was asked, as (method, message); `tokens` what the calls were signed with.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.requests: list[tuple[str, Any]] = []
        self.tokens: set[str] = set()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def asked(self, method: str) -> list[Any]:
        """Return the requests of one method."""
        return [request for name, request in self.requests if name == method]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = _METHODS[details.method]
        read = GetMessageClass(method.input_type).FromString
        self.tokens.add(dict(details.invocation_metadata).get("authorization", ""))

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            self.requests.append((method.name, request))
            found = self.answers[method.name]
            try:
                return found(request) if callable(found) else _unless_refusal(found)
            except Refusal as refusal:
                return context.abort_with_status(rpc_status.to_status(refusal.status))

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from answer(request, context)
            except Refusal as refusal:  # in the midst of what it answers
                context.abort_with_status(rpc_status.to_status(refusal.status))

        def gathered(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            return answer(list(requests), context)

        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(gathered, read, _write)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, read, _write)
        return grpc.unary_unary_rpc_method_handler(answer, read, _write)


def _unless_refusal(found: Any) -> Any:
    if isinstance(found, Refusal):
        raise found
    return found


def _write(message: Message) -> bytes:
    return message.SerializeToString()
