"""An authority on a socket that answers what a test wrote down, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from authority.v1 import admin_service_pb2, budget_service_pb2, generation_service_pb2

_FILES = (budget_service_pb2, admin_service_pb2, generation_service_pb2)


class Call(NamedTuple):
    """One call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]
    seconds: float | None  # until its deadline


class Pause:
    """A line at which a call stops: `reached` tells the test, `go` lets the call on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()


class ScriptedAuthority:
    """Answers each call with the next line of the script.

    A line is a message, a list of messages for a stream, a google.rpc.Status, or a Pause, after
    which the next line counts. A script at its end answers with an empty message.
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.calls: list[Call] = []
        self.address = ""

    def requests(self, method: str) -> list[Any]:
        """Return what one method was asked."""
        return [call.request for call in self.calls if call.method == method]

    async def answer(self, method: Any, request: Any, context: Any) -> list[Message]:
        """Return the messages of the next line."""
        metadata = dict(context.invocation_metadata())
        self.calls.append(Call(method.name, request, metadata, context.time_remaining()))
        line = self.script.pop(0) if self.script else GetMessageClass(method.output_type)()
        while isinstance(line, Pause):
            line.reached.set()
            await line.go.wait()
            line = self.script.pop(0)
        if isinstance(line, status_pb2.Status):
            status = rpc_status.to_status(line)
            await context.abort(status.code, status.details, status.trailing_metadata)
        return line if isinstance(line, list) else [line]


def _handler(scripted: ScriptedAuthority, method: Any) -> grpc.RpcMethodHandler:
    async def unary(request, context):
        return (await scripted.answer(method, request, context))[0]

    async def stream(request, context):
        for message in await scripted.answer(method, request, context):
            yield message

    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        stream if method.server_streaming else unary,
        GetMessageClass(method.input_type).FromString,
        GetMessageClass(method.output_type).SerializeToString,
    )


@asynccontextmanager
async def scripted_authority() -> AsyncIterator[ScriptedAuthority]:
    """Serve every service of the proto from a script."""
    scripted = ScriptedAuthority()
    server = grpc.aio.server()
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            handlers = {method.name: _handler(scripted, method) for method in service.methods}
            handler = grpc.method_handlers_generic_handler(service.full_name, handlers)
            server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    scripted.address = f"127.0.0.1:{port}"
    yield scripted
    await server.stop(None)


def status(code: str, reason: str, *details: Message, **metadata: str) -> status_pb2.Status:
    """Return a status as proto/authority/v1/errors.proto says it is."""
    info = error_details_pb2.ErrorInfo(domain="paymaster", reason=reason, metadata=metadata)
    made = status_pb2.Status(code=code_pb2.Code.Value(code), message=f"It was {reason}.")
    for detail in (info, *details):
        made.details.add().Pack(detail)
    return made


def unavailable() -> status_pb2.Status:
    """Return the status of an authority whose store is away."""
    return status("UNAVAILABLE", "UNAVAILABLE")
