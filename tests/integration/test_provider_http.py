"""Calls by plain HTTP, at a server that does what servers should not."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import trustme

from providing import failure, ignore, no_pause, wanted
from recorded import Recorded, recorded
from workers.providers import http
from workers.providers.errors import ProviderFailed, TimeoutUnknown
from workers.providers.http import Copier, ask, json_object, make_client, send_once
from workers.providers.huggingface import HuggingFace


@pytest.fixture
async def server() -> AsyncIterator[Recorded]:
    """A server that plays what it is told."""
    async with recorded() as running:
        yield running


@asynccontextmanager
async def client_of(url: str):
    """Return a client with a key."""
    async with make_client(url, "Bearer KEY", 5) as client:
        yield client


@pytest.mark.parametrize(("status", "dispatched"), [(200, "yes"), (500, "unknown")])
async def test_an_answer_that_is_too_large_is_not_read(server, status, dispatched):
    server.play([{"status": status, "text": "x" * 1001}])
    async with client_of(server.url) as client:
        with pytest.raises(ProviderFailed) as caught:
            await send_once("fal", client, "/", seconds_max=5, bytes_max=1000, json={})
    assert caught.value.dispatched == dispatched
    assert "1000 bytes" in caught.value.message


async def test_an_answer_that_was_packed_is_unpacked():
    packed = gzip.compress(b"x" * 1000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
        async with client_of(url) as client:
            response = await send_once("fal", client, "/", seconds_max=5)
            assert response.content == b"x" * 1000
            with pytest.raises(ProviderFailed):
                # It counts what it would become.
                await send_once("fal", client, "/", seconds_max=5, bytes_max=999)


async def test_an_answer_to_a_question_is_not_read_for_ever(server, monkeypatch):
    monkeypatch.setattr(http, "IMAGE_BYTES_MAX", 1000)
    server.play([{"status": 200, "body": {"status": "x" * 1000}}])
    async with client_of(server.url) as client:
        response = await ask(client, "GET", "/", is_passing=lambda _: False, sleep=no_pause)
    assert (response.status_code, json_object(response)) == (200, {})


async def test_what_is_nested_too_deeply_is_no_object(server):
    server.play([{"status": 200, "text": '{"a":' * 100_000}])
    async with client_of(server.url) as client:
        assert json_object(await send_once("fal", client, "/", seconds_max=5)) == {}


async def test_an_answer_that_trickles_ends_in_time():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        url = f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
        async with client_of(url) as client:
            with pytest.raises(TimeoutUnknown):
                await send_once("fal", client, "/", seconds_max=0.3)


async def test_nobody_is_followed_to_another_place(server):
    server.play([{"status": 307, "headers": {"location": "/elsewhere"}, "text": ""}])
    async with client_of(server.url) as client:
        response = await send_once("fal", client, "/", seconds_max=5, json={})
    assert response.status_code == 307
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("data:image/png,abc", "base64"),
        ("data:image/png;base64,%%%", "base64"),
        ("data:image/png;base64," + "A" * 2000, "larger"),
        ("file:///etc/passwd", "neither https:, http: nor data:"),
        ("ftp://host/file", "neither"),
        ("http://", "leads nowhere"),
    ],
)
async def test_a_url_that_leads_nowhere_is_told(url, problem):
    copier = Copier("http://127.0.0.1", seconds_max=5, sleep=no_pause)
    with pytest.raises(ValueError, match=problem):
        await copier.copy(url, 1000)
    await copier.aclose()


async def test_a_file_is_copied_without_the_key_and_not_further_than_it_may(server):
    server.play([{"status": 302, "headers": {"location": "/there"}}, {"status": 200, "text": "x"}])
    copier = Copier("http://127.0.0.1", seconds_max=5, sleep=no_pause)
    assert await copier.copy(server.url, 1) == b"x"
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, None]
    server.play([{"status": 200, "text": "xx"}])
    with pytest.raises(ValueError, match="larger than 1 bytes"):
        await copier.copy(server.url, 1)
    await copier.aclose()


async def test_files_are_copied_from_nowhere_less_safe_than_the_api(server, tmp_path, monkeypatch):
    server.play([{"status": 200, "text": "the secrets of a neighbour"}])
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 302 Found\r\nlocation: {server.url}\r\ncontent-length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    copier = Copier("https://queue.fal.run", seconds_max=5, sleep=no_pause)
    async with await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=tls) as running:
        port = running.sockets[0].getsockname()[1]
        for url in (server.url, f"https://127.0.0.1:{port}"):
            with pytest.raises(ValueError, match="no https:"):
                await copier.copy(url, 1000)
    await copier.aclose()
    assert server.asked == []


async def test_a_time_that_is_not_told_is_measured(server):
    picture = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    )
    server.play([{"status": 200, "base64": picture + "rkJggg=="}])
    times = iter([100.0, 102.3456, 200.0, 201.0])
    provider = HuggingFace("KEY", server.url, seconds_max=5, clock=lambda: next(times))
    request = wanted("stabilityai/stable-diffusion-xl-base-1.0")
    result = await provider.generate(request, on_submitted=ignore)
    assert result.usage.seconds == Decimal("2.346")
    # What is told and makes no sense is not believed.
    server.play([{"status": 200, "headers": {"x-compute-time": "-3"}, "text": "no picture"}])
    assert (await failure(provider, request)).usage.seconds == Decimal("1.0")
    await provider.aclose()
