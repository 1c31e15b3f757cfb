"""The four kinds of RPC, each behind one gate: sign-in, scope, tenant, well-formed statuses."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import grpc
import pytest

from authority.domain.callers import ApiKey, Scope, StoredKey
from authority.domain.errors import PaymasterError, Unavailable
from authority.domain.tokens import Token
from authority.rpc import access, interceptors
from authority.rpc.caller import current_caller
from authority.rpc.interceptors import Calls
from authority.usecases.credentials import Credentials
from authority.v1 import admin_service_pb2 as admin
from refusals import Refusal

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
Message = admin.GetAccountRequest
NOW = datetime(2026, 12, 1, tzinfo=UTC)


class Keys:
    """API keys in memory."""

    def __init__(self):
        self.stored = {}

    def add(self, *scopes):
        token = Token.new()
        key = ApiKey(token.api_key_id, "acme", frozenset(scopes), "", NOW)
        self.stored[token.api_key_id] = StoredKey(key, token.secret_hash)
        return token.text

    async def find(self, api_key_id):
        return self.stored.get(api_key_id)


class Servicer:
    """Answers with the caller's tenant and the account asked for; notes what it was shown."""

    def __init__(self):
        self.seen = []
        self.fails_with = None
        self.swallows = False
        self.takes_seconds = 0.0

    def _answer(self, request):
        self.seen.append(request.account)
        if self.fails_with:
            raise self.fails_with
        return Message(account=f"{current_caller().tenant}:{request.account}")

    async def unary_unary(self, request, _):
        await asyncio.sleep(self.takes_seconds)
        return self._answer(request)

    async def unary_stream(self, request, _):
        for _ in range(2):
            yield self._answer(request)

    async def stream_unary(self, requests, _):
        answer = Message()
        try:
            async for request in requests:
                answer = self._answer(request)
        except PaymasterError:
            if not self.swallows:
                raise
        return answer

    async def stream_stream(self, requests, _):
        # Read by a task of its own, as sessions do: whatever that makes of a refusal, the caller is
        # told it.
        queue = asyncio.Queue()

        async def read():
            try:
                async for request in requests:
                    queue.put_nowait(self._answer(request))
            finally:
                queue.put_nowait(None)

        reading = asyncio.create_task(read())
        while (answer := await queue.get()) is not None:
            yield answer
        await reading


@pytest.fixture
async def world(monkeypatch):
    servicer, keys = Servicer(), Keys()
    handlers = {}
    for kind in KINDS:
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        handlers[kind] = make(
            getattr(servicer, kind), Message.FromString, Message.SerializeToString
        )
        monkeypatch.setitem(access.SCOPES, f"/kinds/{kind}", (Scope.SPEND,))
    credentials = Credentials(keys, "root", lambda: int(NOW.timestamp() * 1000))
    calls = Calls(credentials)
    calls.add_registered_method_handlers("kinds", handlers)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([calls])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield World(channel, servicer, keys, credentials)
    await server.stop(0)


class World:
    def __init__(self, channel, servicer, keys, credentials):
        self.channel, self.servicer, self.keys = channel, servicer, keys
        self.credentials = credentials
        self.token = keys.add(Scope.SPEND)

    async def call(self, kind, *accounts, token=None, body=None, seconds=None):
        """Return the accounts answered; bodies that are no messages stand for one more."""
        method = getattr(self.channel, kind)(f"/kinds/{kind}", None, Message.FromString)
        metadata = (("authorization", f"Bearer {token or self.token}"),)
        bodies = [Message(account=account).SerializeToString() for account in accounts]
        bodies += [body] if body else []
        request = iter(bodies) if kind.startswith("stream_") else bodies[0]
        call = method(request, metadata=metadata, timeout=seconds)
        if kind.endswith("_stream"):
            return [message.account async for message in call]
        return [(await call).account]

    async def refused(self, *args, **kwargs):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.call(*args, **kwargs)
        refusal = Refusal.of(error.value)
        assert refusal.domain == "paymaster"
        return refusal.code, refusal.reason


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_let_in_is_known_to_the_servicer(world, kind):
    assert set(await world.call(kind, "acme/a")) == {"acme:acme/a"}
    assert set(await world.call(kind, "globex", token="root")) == {"platform:globex"}


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_not_let_in_reaches_nothing(world, kind):
    for token in ("wrong", Token.new().text):
        assert await world.refused(kind, "acme", token=token) == (
            "UNAUTHENTICATED",
            "NOT_SIGNED_IN",
        )
    reader = world.keys.add(Scope.READ)
    assert await world.refused(kind, "acme", token=reader) == ("PERMISSION_DENIED", "NOT_ALLOWED")
    assert await world.refused(kind, "globex") == ("PERMISSION_DENIED", "NOT_ALLOWED")
    assert await world.refused(kind, body=b"\xff") == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert world.servicer.seen == []


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_every_message_of_a_stream_is_looked_at(world, kind):
    assert await world.refused(kind, "acme", "globex", "acme/late") == (
        "PERMISSION_DENIED",
        "NOT_ALLOWED",
    )
    assert world.servicer.seen == ["acme"]
    assert await world.refused(kind, "acme", body=b"\xff") == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_a_servicer_that_swallows_a_refusal_answers_nothing(world):
    world.servicer.swallows = True
    assert await world.refused("stream_unary", "acme", "globex") == (
        "PERMISSION_DENIED",
        "NOT_ALLOWED",
    )


@pytest.mark.parametrize("kind", KINDS[:3])
async def test_what_a_servicer_raises_becomes_a_status(world, kind):
    world.servicer.fails_with = Unavailable("away")
    assert await world.refused(kind, "acme") == ("UNAVAILABLE", "UNAVAILABLE")
    world.servicer.fails_with = ZeroDivisionError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.call(kind, "acme")
    assert "secret" not in error.value.details()
    assert Refusal.of(error.value).reason == "INTERNAL"


async def test_a_call_has_as_long_as_its_caller_gives_it(world, monkeypatch):
    monkeypatch.setattr(interceptors, "_CALL_SECONDS_MAX", 0.05)
    world.servicer.takes_seconds = 0.2
    assert await world.refused("unary_unary", "acme") == ("DEADLINE_EXCEEDED", "DEADLINE")
    assert await world.call("unary_unary", "acme", seconds=20) == ["acme:acme"]


async def test_a_stream_does_not_outlive_its_key(world):
    method = world.channel.stream_stream("/kinds/stream_stream", None, Message.FromString)
    session = method(metadata=(("authorization", f"Bearer {world.token}"),))
    body = Message(account="acme").SerializeToString()
    await session.write(body)
    assert (await session.read()).account == "acme:acme"
    api_key_id = Token.parse(world.token).api_key_id
    del world.keys.stored[api_key_id]
    world.credentials.forget(api_key_id)
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await session.write(body)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await session.read()
    assert Refusal.of(error.value).code == "UNAUTHENTICATED"
    assert world.servicer.seen == ["acme"]
