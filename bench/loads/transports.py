"""Reserve and Commit by the ways in which a Python service may ask for them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import grpc
import uuid_utils

from authority.v1 import budget_service_pb2 as messages
from authority.v1 import resources_pb2
from bench.work import Work
from clients import AuthorityClient, usd
from clients.operation_calls import OperationCalls

HELD = usd("0.04")
ACTUAL = usd("0.03")
# Under load an answer may take longer than a caller would wait for in earnest.
CALL_SECONDS = 30.0
_SERVICES = {"unary": "authority.v1.BudgetService", "locking": "bench.Bench"}


class Transport(Protocol):
    """One Reserve or one Commit, acknowledged."""

    async def reserve(self, account: str) -> str:
        """Hold an amount; return the reservation's id."""

    async def commit(self, reservation_id: str) -> None:
        """Settle it for less."""


class SessionTransport:
    """The Python client as a service would use it: callers share a session."""

    def __init__(self, operations: OperationCalls) -> None:
        self._operations = operations

    async def reserve(self, account: str) -> str:
        """Hold an amount; return the reservation's id."""
        return (await self._operations.reserve(account, [HELD])).reservation_id

    async def commit(self, reservation_id: str) -> None:
        """Settle it for less."""
        await self._operations.commit(reservation_id, [ACTUAL])


class UnaryTransport:
    """The generated stubs' calls, with no more around them than there must be."""

    def __init__(self, channels: list[grpc.aio.Channel], service: str, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._reserve = [
            channel.unary_unary(
                f"/{service}/Reserve",
                request_serializer=messages.ReserveRequest.SerializeToString,
                response_deserializer=messages.ReserveResponse.FromString,
            )
            for channel in channels
        ]
        self._commit = [
            channel.unary_unary(
                f"/{service}/Commit",
                request_serializer=messages.CommitRequest.SerializeToString,
                response_deserializer=messages.CommitResponse.FromString,
            )
            for channel in channels
        ]
        self._turn = 0

    async def reserve(self, account: str) -> str:
        """Hold an amount; return the reservation's id."""
        self._turn = (self._turn + 1) % len(self._reserve)
        answer = await self._reserve[self._turn](
            reserve_request(account), metadata=self._metadata, timeout=CALL_SECONDS
        )
        reservation_id: str = answer.reservation.reservation_id
        return reservation_id

    async def commit(self, reservation_id: str) -> None:
        """Settle it for less."""
        self._turn = (self._turn + 1) % len(self._commit)
        await self._commit[self._turn](
            commit_request(reservation_id), metadata=self._metadata, timeout=CALL_SECONDS
        )


def new_key() -> str:
    """Return an idempotency key."""
    return str(uuid_utils.uuid7())


def reserve_request(account: str) -> messages.ReserveRequest:
    """Return the message of a Reserve with a key of its own."""
    leg = resources_pb2.Leg(unit=resources_pb2.UNIT_USD, amount=HELD.amount)
    return messages.ReserveRequest(
        idempotency_key=new_key(), account=account, options=[messages.Option(legs=[leg])]
    )


def commit_request(reservation_id: str) -> messages.CommitRequest:
    """Return the message of a Commit with a key of its own."""
    leg = resources_pb2.Leg(unit=resources_pb2.UNIT_USD, amount=ACTUAL.amount)
    return messages.CommitRequest(
        idempotency_key=new_key(), reservation_id=reservation_id, actual=[leg]
    )


@asynccontextmanager
async def open_channels(work: Work) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connect as often as is asked; each channel has a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    channels = [
        grpc.aio.insecure_channel(work.address, [*options, ("bench.id", str(uuid.uuid4()))])
        for _ in range(work.channels)
    ]
    try:
        for channel in channels:
            await channel.channel_ready()
        yield channels
    finally:
        for channel in channels:
            await channel.close()


@asynccontextmanager
async def open_transport(work: Work, way: str) -> AsyncIterator[Transport]:
    """Open `session`, `unary`, or `locking`: unary to the naive server of bench/bench_server.py."""
    if way == "session":
        async with AuthorityClient(work.address, token=work.token, timeout=CALL_SECONDS) as client:
            yield SessionTransport(client)
    else:
        async with open_channels(work) as channels:
            yield UnaryTransport(channels, _SERVICES[way], work.token)
