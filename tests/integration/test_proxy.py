"""The proxy that other tests break connections with."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnectionError

from proxy import Proxy


@pytest.fixture
async def proxy(valkey):
    """A proxy before the session's Valkey."""
    async with Proxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy, redis_url, valkey):
    """A client behind the proxy, which repeats nothing by itself."""
    url = redis_url.replace(f":{valkey.port}/", f":{proxy.port}/")
    async with Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True) as client:
        yield client


async def test_all_is_passed_on(client):
    await client.set("long", "x" * 1_000_000)
    assert len(await client.get("long")) == 1_000_000


async def test_delayed(client, proxy):
    await client.ping()
    proxy.delay(0.1)
    begin = time.monotonic()
    await client.ping()
    assert time.monotonic() - begin >= 0.2  # there and back


async def test_a_dropped_reply_is_of_a_request_that_was_done(client, proxy):
    await client.ping()
    proxy.drop_replies(1)
    with pytest.raises(LostConnectionError):
        await client.incr("count")
    assert proxy.dropped == 1
    assert await client.get("count") == "1"


async def test_only_replies_to_a_word_are_dropped_and_nothing_is_closed(client, proxy):
    await client.ping()
    proxy.drop_replies(1, to=b"INCR", closes=False)
    assert await client.ping()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.incr("count")
    assert proxy.dropped == 1
    assert await client.get("count") == "1"


async def test_refused_until_told_otherwise(client, proxy):
    await client.ping()
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(LostConnectionError):
            await client.incr("count")
    proxy.pass_on()
    assert await client.get("count") is None


async def test_cut_while_a_request_waits(client, proxy):
    await client.ping()
    waiting = asyncio.create_task(client.blpop("nothing", timeout=20))
    while not waiting.done():
        await asyncio.sleep(0.01)
        proxy.cut()
    assert isinstance(waiting.exception(), LostConnectionError)
    assert await client.ping()


async def test_stopped_and_started_again(client, proxy):
    port = proxy.port
    await proxy.stop()
    with pytest.raises(LostConnectionError):
        await client.ping()
    await proxy.start()
    assert proxy.port == port
    assert await client.ping()


async def test_a_target_that_is_away():
    async with Proxy(1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
