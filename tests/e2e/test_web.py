"""Artifacts for browsers: signed URLs, public ones, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from authority.bootstrap import running_authority
from authority.core import StartError
from authority.usecases.artifact_urls import ArtifactUrls
from authority.web import connections
from authority.web.server import listen
from generating import insert_artifact
from support import eventually

IMAGE = b"an image"
HOUR = 3_600


@pytest.fixture
async def running(start_authority, authority_settings):
    """An authority that serves artifacts by HTTP."""
    settings = authority_settings.model_copy(update={"web_port": 0})
    return (await start_authority(settings))[0]


@pytest.fixture
async def browser(running):
    """Somebody who has nothing but URLs."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.web_port}") as client:
        yield client


@pytest.fixture
def urls(running, authority_settings):
    """What makes URLs, as every process with the same root token does."""
    token = authority_settings.token.get_secret_value()
    return ArtifactUrls(
        token, f"http://127.0.0.1:{running.web_port}", running.core.context.clock.now_ms
    )


@pytest.fixture
async def artifact(ledger_url, authority_settings):
    """The id of an artifact of `acme`."""
    return await insert_artifact(ledger_url, authority_settings.artifacts)


async def execute(ledger_url, statement):
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute(statement)


async def test_a_signed_url_gives_the_file_as_it_is(browser, urls, artifact):
    answer = await browser.get(urls.signed(artifact, HOUR).url)
    assert (answer.status_code, answer.content) == (200, IMAGE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{hashlib.sha256(IMAGE).hexdigest()}"'
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_a_signed_url_ends_at_its_second(running, browser, urls, artifact):
    url, expire_s = urls.signed(artifact, 2)
    clock = running.core.context.clock
    assert 0 <= expire_s - clock.now_ms() // 1000 <= 2
    assert (await browser.get(url)).status_code == 200

    async def has_ended():
        return (await browser.get(url)).status_code == 403

    await eventually(has_ended)
    assert clock.now_ms() >= expire_s * 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda url: re.sub(r"expires=(\d+)", lambda found: f"expires={int(found[1]) + 1}", url),
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("/0?", "/1?"),
        lambda url: url.partition("&")[0],
        lambda url: re.sub(r"expires=\d+", "expires=never", url),
        lambda url: re.sub(r"expires=\d+", f"expires={'9' * 400}", url),
        lambda url: re.sub(r"signature=.*", "signature=%C3%A9", url),
    ],
    ids=["longer", "forged", "of another", "half", "no number", "huge", "no hex"],
)
async def test_a_url_that_is_not_ours_is_refused(browser, urls, artifact, change):
    answer = await browser.get(change(urls.signed(artifact, HOUR).url))
    assert answer.status_code == 403
    assert IMAGE not in answer.content


async def test_a_url_of_another_root_token_is_refused(browser, running, artifact):
    theirs = ArtifactUrls("another token" * 4, str(browser.base_url), lambda: 0)
    assert (await browser.get(theirs.signed(artifact, HOUR).url)).status_code == 403


async def test_only_what_is_public_needs_no_signature(browser, urls, artifact, ledger_url):
    url = urls.public(artifact).url
    assert (await browser.get(url)).status_code == 404
    await execute(ledger_url, "UPDATE generation SET visibility = 'PUBLIC'")
    answer = await browser.get(url)
    assert (answer.content, answer.headers["cache-control"]) == (IMAGE, "public, max-age=300")
    await execute(ledger_url, "UPDATE artifact SET delete_time = now()")
    assert (await browser.get(url)).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-1", 206, b"an", "bytes 0-1/8"),
        ("bytes=3-", 206, b"image", "bytes 3-7/8"),
        ("bytes=-5", 206, b"image", "bytes 3-7/8"),
        ("bytes=-500", 206, IMAGE, "bytes 0-7/8"),
        ("bytes=3-500", 206, b"image", "bytes 3-7/8"),
        ("bytes=8-", 416, b"", "bytes */8"),
        ("bytes=5-3", 416, b"", "bytes */8"),
        ("bytes=0-1,3-4", 200, IMAGE, None),
        ("bytes=-", 200, IMAGE, None),
        ("lines=1-2", 200, IMAGE, None),
    ],
)
async def test_a_player_may_ask_for_a_part(browser, urls, artifact, asked, status, content, told):
    url = urls.signed(artifact, HOUR).url
    answer = await browser.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("content-range") == told


async def test_what_a_browser_has_already_is_not_sent_again(browser, urls, artifact):
    url = urls.signed(artifact, HOUR).url
    head = await browser.head(url)
    assert (head.headers["content-length"], head.content) == ("8", b"")
    again = await browser.get(url, headers={"If-None-Match": head.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/artifacts/acme/x/0",
        "/artifacts/acme/..%2f..%2fetc/0",
        "/artifacts/a%00/b/0",
        "/artifacts/a/b/0/",
    ],
)
async def test_what_is_not_there_is_not_found(browser, path):
    assert (await browser.get(path)).status_code == 404


async def test_nothing_is_changed_by_http(browser, urls, artifact):
    assert (await browser.delete(urls.signed(artifact, HOUR).url)).status_code == 405


async def test_a_file_that_is_lost_is_not_found(browser, urls, artifact, authority_settings):
    url = urls.signed(artifact, HOUR).url
    (found,) = (path for path in _files(authority_settings.artifacts))
    found.unlink()
    assert (await browser.get(url)).status_code == 404


def _files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


async def test_a_port_in_use_is_told(authority_settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = authority_settings.model_copy(update={"web_port": port})
        with pytest.raises(StartError, match=f"AUTHORITY_WEB_PORT: .*{port}"):
            async with running_authority(settings):
                pass


async def test_without_a_root_token_nobody_knows_what_signs(
    start_authority, authority_settings, artifact
):
    change = {"web_port": 0, "token": SecretStr("")}
    running, _ = await start_authority(authority_settings.model_copy(update=change))
    web_url = f"http://127.0.0.1:{running.web_port}"
    forged = ArtifactUrls("", web_url, running.core.context.clock.now_ms)
    async with httpx.AsyncClient() as client:
        assert (await client.get(forged.signed(artifact, HOUR).url)).status_code == 403


@pytest.mark.parametrize(
    "change", [{"web_port": 0, "reuse_port": True}, {"web_url": "https://images.example.com"}]
)
async def test_what_several_processes_sign_needs_the_root_token(authority_settings, change):
    settings = authority_settings.model_copy(update={"token": SecretStr(""), **change})
    with pytest.raises(StartError, match="PAYMASTER_TOKEN"):
        async with running_authority(settings):
            pass


async def test_processes_that_share_a_port_share_that_of_the_web_too(
    start_authority, authority_settings
):
    settings = authority_settings.model_copy(update={"web_port": 0, "reuse_port": True})
    first, _ = await start_authority(settings)
    second, _ = await start_authority(settings.model_copy(update={"web_port": first.web_port}))
    assert second.web_port == first.web_port


def test_an_address_of_ipv6_is_written_as_for_grpc():
    with listen("[::1]", 0) as listener:
        assert listener.getsockname()[0] == "::1"


async def test_a_certificate_that_can_not_be_used_is_told(authority_settings, tmp_path):
    change = {"web_port": 0, "tls_certificate": tmp_path / "a", "tls_key": tmp_path / "b"}
    with pytest.raises(StartError, match="AUTHORITY_TLS_CERTIFICATE"):
        async with running_authority(authority_settings.model_copy(update=change)):
            pass


async def test_there_are_so_many_connections_and_no_more(running, monkeypatch):
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    async with AsyncExitStack() as stack:
        first, _, third = [await _connected(stack, running.web_port) for _ in range(3)]
        assert await _rest_of(third) == b""
        first[1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await first[0].readline()).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\n\r\n"])
async def test_who_asks_for_nothing_is_not_waited_for(running, monkeypatch, said):
    monkeypatch.setattr(connections, "REQUEST_SECONDS_MAX", 0.2)
    async with AsyncExitStack() as stack:
        connection = await _connected(stack, running.web_port)
        connection[1].write(said)
        await _rest_of(connection)


async def test_who_reads_nothing_is_not_waited_for(
    running, urls, artifact, authority_settings, ledger_url, monkeypatch
):
    monkeypatch.setattr(connections, "REQUEST_SECONDS_MAX", 0.1)
    monkeypatch.setattr(connections, "ANSWER_SECONDS_MAX", 0.2)
    (file,) = _files(authority_settings.artifacts)
    size = 32 * 1024 * 1024
    file.write_bytes(bytes(size))
    await execute(ledger_url, f"UPDATE artifact SET size_bytes = {size}")
    url = httpx.URL(urls.signed(artifact, HOUR).url)
    async with AsyncExitStack() as stack:
        reader, writer = connection = await _connected(stack, running.web_port)
        writer.write(b"GET " + url.raw_path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(1)  # It is what a slow reader does.
        assert len(await _rest_of(connection)) < size


async def _connected(stack, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    return reader, writer


async def _rest_of(connection):
    """Return what comes until the server ends the connection."""
    content = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while piece := await connection[0].read(1 << 20):
                content += piece
    return content
