"""Whatever becomes of an owner, one data directory has one server and keeps its data."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import psycopg
import pytest

from authority.embedded import (
    DataDirectoryInUse,
    EmbeddedPostgres,
    EmbeddedValkey,
    ServerStuck,
    accounts,
    processes,
    servers,
    wheels,
)
from support import append, appended, eventually

# Starts both servers, says what it started, and waits to be killed. Everything is imported before
# the account is given up, since that account may not be able to read Python's own files.
OWNER = """
import asyncio, concurrent.futures.thread, encodings.ascii, encodings.idna
import json, os, pwd, sys
from pathlib import Path
import psycopg, redis.asyncio
from authority.embedded import EmbeddedPostgres, EmbeddedValkey

async def own(home):
    started = {}
    for kind in (EmbeddedPostgres, EmbeddedValkey):
        server = kind(home / kind.name)
        await server.start()
        started[kind.name] = {"pid": server.pid, "url": server.url}
    print(json.dumps(started), flush=True)
    await asyncio.Event().wait()

home, uid = Path(sys.argv[1]), int(sys.argv[2])
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(pwd.getpwuid(uid).pw_gid)
    os.setuid(uid)
asyncio.run(own(home))
"""

PROGRAMS = frozenset({"initdb", "postgres", "valkey-server"})


@pytest.fixture(scope="module")
def kept_home(server_home):
    """A data directory of two servers: to make data anew for each test would take long."""
    path = server_home / "owned"
    path.mkdir(mode=0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(kept_home):
    """The data directory; whatever a test left running in it is killed."""
    yield kept_home
    for process in processes._find(PROGRAMS, kept_home):
        process.kill()


@contextmanager
def owner(home, uid=None):
    """Run an owner in a process of its own, which ends with SIGKILL at the latest."""
    uid = os.geteuid() if uid is None else uid
    command = [sys.executable, "-c", OWNER, str(home), str(uid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def started(process):
    """Return what the owner says that it started."""
    line = process.stdout.readline()
    assert line, "the owner ended"
    return json.loads(line)


def running(home):
    """Return the servers that run in a data directory: the postmaster and Valkey."""
    found = processes._find(PROGRAMS, home)
    pids = {process.pid for process in found}
    return {process.pid for process in found if process.ppid() not in pids}


async def test_the_next_owner_ends_what_a_killed_owner_left_and_keeps_its_data(home):
    with owner(home) as process:
        first = started(process)
        values = [await append(server["url"]) for server in first.values()]
        process.kill()
        process.wait()
    assert running(home) == {server["pid"] for server in first.values()}, "servers outlive it"
    async with (
        EmbeddedPostgres(home / "Postgres") as postgres,
        EmbeddedValkey(home / "Valkey") as valkey,
    ):
        assert running(home) == {postgres.pid, valkey.pid}
        assert running(home).isdisjoint({server["pid"] for server in first.values()})
        for server, value in zip((postgres, valkey), values, strict=True):
            assert value in await appended(server.url)
    assert running(home) == set()


async def test_a_second_owner_is_told_who_the_first_is(home):
    with owner(home) as process:
        first = started(process)
        for kind in (EmbeddedPostgres, EmbeddedValkey):
            with pytest.raises(DataDirectoryInUse, match=f"in use by process {process.pid}") as no:
                await kind(home / kind.name).start()
            assert no.value.pid == process.pid
            assert await append(first[kind.name]["url"]), "it is still served"


async def test_an_owner_killed_while_the_data_is_made(home):
    fresh = home / "fresh"
    with owner(fresh) as process:
        await eventually((fresh / "Postgres" / "data.partial" / "postgresql.conf").exists)
        process.kill()
        process.wait()
    async with EmbeddedPostgres(fresh / "Postgres") as postgres:
        await append(postgres.url)


async def test_an_owner_killed_before_it_wrote_the_pid(home):
    with owner(home) as process:
        first = started(process)
        process.kill()
        process.wait()
    (home / "Valkey" / "server.pid").write_text("")
    async with EmbeddedValkey(home / "Valkey") as valkey:
        assert running(home / "Valkey") == {valkey.pid}
        assert valkey.pid != first["Valkey"]["pid"]


async def test_a_leftover_that_does_not_end_is_named_and_no_second_server_starts(home, monkeypatch):
    async def end(found, *_):
        return found

    with owner(home) as process:
        pid = started(process)["Valkey"]["pid"]
        process.kill()
        process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(processes, "end", end)
        for _ in ("once", "and again"):
            with pytest.raises(ServerStuck, match=f"process {pid}"):
                await EmbeddedValkey(home / "Valkey").start()
    assert running(home / "Valkey") == {pid}
    async with EmbeddedValkey(home / "Valkey") as valkey:
        assert running(home / "Valkey") == {valkey.pid}


async def test_a_foreign_process_with_a_reused_pid_lives_on(home):
    for kind in (EmbeddedPostgres, EmbeddedValkey):
        server = kind(home / kind.name)
        await server.start()
        value = await append(server.url)
        await server.kill()
        # Postgres respects the pid in its own lock file only when it could signal the process.
        account = accounts.service_account(server.directory / "data")
        uid = None if account is None else account.uid
        foreign = await asyncio.create_subprocess_exec("sleep", "60", user=uid)
        for path in (server.directory / "server.pid", server.directory / "data/postmaster.pid"):
            if path.exists():
                _, *rest = path.read_text().split("\n")
                path.write_text("\n".join([str(foreign.pid), *rest]))
        await server.start()
        assert foreign.returncode is None
        foreign.kill()
        await foreign.wait()
        assert value in await appended(server.url)
        await server.stop()


async def test_a_copy_of_a_running_directory_is_another_directory(make_valkey, home):
    original = await make_valkey()
    value = await append(original.url)
    shutil.copytree(original.directory, home / "copy")
    async with EmbeddedValkey(home / "copy") as copy:
        assert value in await appended(copy.url)
        assert original.running


async def test_a_backend_that_outlives_its_postmaster_is_ended(home, monkeypatch):
    monkeypatch.setattr(servers, "_LEFTOVER_SECONDS_MAX", 0.2)
    async with EmbeddedPostgres(home / "Postgres") as server:
        value = await append(server.url)
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            backend.suspend()  # It cannot see its postmaster's death, and would still write.
            os.kill(server.pid, signal.SIGKILL)
            await eventually(lambda: not server.running)
            assert processes._lives(backend)
            await server.start()
            assert not processes._lives(backend)
        assert value in await appended(server.url)


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test runs as a plain user")
async def test_a_plain_user_s_servers_are_the_user_s_own_and_root_can_take_them_over(home):
    user = accounts.service_account(home / "data")
    if accounts.first_closed(wheels.postgres_programs(), user) is not None:
        pytest.skip("the environment is closed to plain users")
    accounts.give(home, user)
    values = []
    for _ in ("starts", "finds what was left"):
        with owner(home, user.uid) as process:
            mine = started(process)
            assert running(home) == {server["pid"] for server in mine.values()}
            for server in mine.values():
                assert psutil.Process(server["pid"]).uids().real == user.uid
                values.append(await append(server["url"]))
            process.kill()
    async with (
        EmbeddedPostgres(home / "Postgres") as postgres,
        EmbeddedValkey(home / "Valkey") as valkey,
    ):
        assert running(home) == {postgres.pid, valkey.pid}
        assert set(values) <= {*await appended(postgres.url), *await appended(valkey.url)}
