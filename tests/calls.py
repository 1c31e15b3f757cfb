"""Every method of the authority's services, called by the message that it takes."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

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

METHODS = {
    method.input_type: method
    for module in (
        *(admin_service_pb2, budget_service_pb2, generation_service_pb2),
        *(queue_service_pb2, cache_service_pb2, usage_service_pb2),
        *(reconciliation_service_pb2, insight_service_pb2, health_service_pb2),
        alert_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
REQUESTS = [GetMessageClass(descriptor) for descriptor in METHODS]


async def send(stubs: Any, request: Message) -> Any:
    """Return the answer; that of a stream is the list of its messages."""
    return await send_bytes(stubs, type(request), request.SerializeToString())


async def send_bytes(stubs: Any, request: type[Message], body: bytes) -> Any:
    """Send any bytes to the method that takes a kind of request."""
    method = METHODS[request.DESCRIPTOR]
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = GetMessageClass(method.output_type)
    if method.client_streaming:
        session = stubs.channel.stream_stream(path, None, answer.FromString)
        return [message async for message in session(iter([body]), metadata=stubs.metadata)]
    if method.server_streaming:
        stream = stubs.channel.unary_stream(path, None, answer.FromString)
        return [message async for message in stream(body, metadata=stubs.metadata)]
    call = stubs.channel.unary_unary(path, None, answer.FromString)
    return await call(body, metadata=stubs.metadata)
