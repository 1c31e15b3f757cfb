"""The clients repeat a call with the same key when the authority is unavailable, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_status import rpc_status

from authority.domain.errors import InvalidRequest, Unavailable
from authority.rpc.status import status_of
from authority.v1 import budget_service_pb2 as messages
from authority.v1 import budget_service_pb2_grpc
from clients import AuthorityClient, errors, usd
from clients.sync import SyncAuthorityClient


class Scripted(budget_service_pb2_grpc.BudgetServiceServicer):
    """Answers with the next of its lines, and keeps what it was asked."""

    def __init__(self) -> None:
        self.lines = []
        self.requests = []
        self.deadlines = []

    async def Reserve(self, request, context):  # noqa: N802 - the RPC's name
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        line = self.lines.pop(0) if self.lines else None
        if isinstance(line, Exception):
            status = rpc_status.to_status(status_of(line))
            await context.abort(status.code, status.details, status.trailing_metadata)
        if line is not None:
            await line.wait()
        return messages.ReserveResponse()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Scripted, str]]:
    """A scripted authority and its address."""
    scripted = Scripted()
    server = grpc.aio.server()
    budget_service_pb2_grpc.add_BudgetServiceServicer_to_server(scripted, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield scripted, f"127.0.0.1:{port}"
    await server.stop(None)


async def test_unavailable_is_repeated_with_the_same_key(server):
    scripted, address = server
    scripted.lines = [Unavailable("away"), Unavailable("away")]
    async with AuthorityClient(address) as client:
        await client.reserve("acme", [usd(1)])
    assert len(scripted.requests) == 3
    assert len({request.idempotency_key for request in scripted.requests}) == 1


async def test_five_attempts_are_made_and_no_more(server):
    scripted, address = server
    scripted.lines = [Unavailable("away")] * 9
    async with AuthorityClient(address, timeout=20) as client:
        with pytest.raises(errors.Unavailable) as away:
            await client.reserve("acme", [usd(1)])
    assert len(scripted.requests) == 5
    assert away.value.idempotency_key == scripted.requests[0].idempotency_key
    assert away.value.outcome_unknown


async def test_another_error_is_not_repeated(server):
    scripted, address = server
    scripted.lines = [InvalidRequest.of("account", "must be an account")]
    async with AuthorityClient(address) as client:
        with pytest.raises(errors.InvalidRequest):
            await client.reserve("acme", [usd(1)])
    assert len(scripted.requests) == 1


async def test_every_call_has_a_deadline(server):
    scripted, address = server
    scripted.lines = [asyncio.Event()]
    async with AuthorityClient(address, timeout=0.3) as client:
        with pytest.raises(errors.DeadlineExceeded) as late:
            await client.reserve("acme", [usd(1)])
    assert 0 < scripted.deadlines[0] <= 0.3
    assert late.value.outcome_unknown


async def test_the_sync_client_repeats_too(server):
    scripted, address = server
    scripted.lines = [Unavailable("away")]

    def work():
        with SyncAuthorityClient(address) as client:
            client.reserve("acme", [usd(1)])

    await asyncio.to_thread(work)
    assert len(scripted.requests) == 2
    assert len({request.idempotency_key for request in scripted.requests}) == 1
