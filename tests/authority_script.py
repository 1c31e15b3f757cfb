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


class End(NamedTuple):
    """A line that ends the session of the operation that meets it: as it should be, or so."""

    status: status_pb2.Status | None = None


class ScriptedAuthority:
    """Answers each call with the next line of the script.

    A line is a message, a list of messages for a stream, a google.rpc.Status, a Pause, after which
    the next line counts, or an End. A script at its end answers with an empty message. An operation
    of a session counts as a call of its own.
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.calls: list[Call] = []
        self.sessions_opened = 0
        self.sessions_ended = 0
        self.address = ""

    def requests(self, method: str) -> list[Any]:
        """Return what one method was asked."""
        return [call.request for call in self.calls if call.method == method]

    async def answer(self, method: Any, request: Any, context: Any) -> list[Message]:
        """Return the messages of the next line."""
        line = await self._next_line(method, request, context)
        if isinstance(line, status_pb2.Status):
            status = rpc_status.to_status(line)
            await context.abort(status.code, status.details, status.trailing_metadata)
        return line if isinstance(line, list) else [line]

    async def _next_line(self, method: Any, request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        self.calls.append(Call(method.name, request, metadata, context.time_remaining()))
        line = self.script.pop(0) if self.script else GetMessageClass(method.output_type)()
        while isinstance(line, Pause):
            line.reached.set()
            await line.go.wait()
            line = self.script.pop(0)
        return line

    async def apply(
        self, service: Any, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Message]:
        """Answer the operations of a session, each as if it had been called."""
        ready: asyncio.Queue[Message | End] = asyncio.Queue()
        self.sessions_opened += 1

        async def answer_one(operation: Any) -> None:
            verb = operation.WhichOneof("request")
            method = service.methods_by_name[verb.capitalize()]
            line = await self._next_line(method, getattr(operation, verb), context)
            if isinstance(line, End):
                ready.put_nowait(line)
                return
            result = budget_service_pb2.ApplyResult(call_number=operation.call_number)
            name = "error" if isinstance(line, status_pb2.Status) else verb
            getattr(result, name).CopyFrom(line)
            ready.put_nowait(budget_service_pb2.ApplyResponse(results=[result]))

        async def read() -> None:
            async with asyncio.TaskGroup() as group:
                async for frame in requests:
                    for operation in frame.operations:
                        group.create_task(answer_one(operation))
            ready.put_nowait(End())

        reading = asyncio.create_task(read())
        try:
            while not isinstance(frame := await ready.get(), End):
                yield frame
            if frame.status is not None:
                status = rpc_status.to_status(frame.status)
                await context.abort(status.code, status.details, status.trailing_metadata)
        finally:
            reading.cancel()
            self.sessions_ended += 1


def _handler(scripted: ScriptedAuthority, method: Any) -> grpc.RpcMethodHandler:
    async def unary(request, context):
        return (await scripted.answer(method, request, context))[0]

    async def stream(request, context):
        for message in await scripted.answer(method, request, context):
            yield message

    async def session(requests, context):
        async for message in scripted.apply(method.containing_service, requests, context):
            yield message

    make, behaviour = {
        (False, False): (grpc.unary_unary_rpc_method_handler, unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, stream),
        (True, True): (grpc.stream_stream_rpc_method_handler, session),
    }[method.client_streaming, method.server_streaming]
    return make(
        behaviour,
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
