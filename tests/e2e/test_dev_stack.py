"""`paymaster dev`: started, used, stopped, killed and started again, as a person does it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from support import eventually

COMMAND = (sys.executable, "-m", "paymaster")
# What a developer's own environment may have must not reach the tests.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "PAYMASTER_", "AUTHORITY_", "OPENAI_", "FAL_", "WORKERS_")


def environment(**extra):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | extra


def lives(process):
    # A zombie has ended; nobody has asked for its exit code yet.
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out.decode(), err.decode()

    @property
    def document(self):
        return json.loads(self.out)


class DevStack:
    """A `paymaster dev` on a data directory of the test's own, and the commands beside it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.process = None
        self.document = {}

    async def run(self, *words, **extra):
        """Run a command to its end."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            env=environment(PAYMASTER_DATA_DIR=str(self.directory), **extra),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        result = Result(process.returncode, out, err)
        assert "Traceback" not in result.err
        return result

    async def start(self, *options, **extra):
        """Start `paymaster dev --json` and wait until it says where everything listens."""
        self.process, self.document = await self._serving("dev", *options, **extra)

    @asynccontextmanager
    async def beside(self, *words):
        """Run a command that serves until the block ends; give what it says of itself."""
        process, document = await self._serving(*words)
        yield document
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()

    async def _serving(self, *words, **extra):
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            "--json",
            env=environment(PAYMASTER_DATA_DIR=str(self.directory), **extra),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, (await process.stderr.read()).decode()
        return process, json.loads(line)

    async def send(self, number):
        """Send a signal to `paymaster dev`, wait for its end, and return its exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)

    def processes(self):
        """Return what works in the data directory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(self.directory):
                    found.append(process)
        return found

    async def close(self):
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.communicate()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


@pytest.fixture
async def stack(server_home, request):
    directory = server_home / f"dev-{request.node.name[5:20]}"
    dev = DevStack(directory)
    yield dev
    await dev.close()


async def test_the_main_job_from_start_to_stop(stack, tmp_path):
    await stack.start("--ephemeral")
    assert stack.document["providers"] == ["sandbox", "print"]
    assert stack.document["accounts"] == ["acme", "solo"]
    assert (stack.directory / "stack.json").stat().st_mode & 0o777 == 0o600

    listed = (await stack.run("accounts", "list", "--json")).document["accounts"]
    assert [item["account"] for item in listed] == ["acme", "solo"]

    made = await stack.run(
        "generate", "a kite over dunes", "--account", "solo", "--out", str(tmp_path), "--json"
    )
    assert made.code == 0, made.err
    (generation,) = made.document["generations"]
    assert generation["state"] == "SUCCEEDED"
    (file,) = generation["files"]
    content = await asyncio.to_thread(Path(file).read_bytes)
    assert hashlib.sha256(content).hexdigest() == generation["artifacts"][0]["sha256"]
    assert content.startswith(b"\x89PNG")

    denied = await stack.run("generate", "eight kites", "--account", "solo", "-n", "10")
    denied = await stack.run("generate", "nine kites", "--account", "solo", "-n", "10")
    assert denied.code == 3
    assert "usd-day" in denied.err

    status = (await stack.run("status", "--json")).document
    assert status["hot_store_ok"]
    assert status["ledger_ok"]
    audit = await stack.run("audit", "--json")
    assert audit.code == 0
    assert audit.document["balanced"]
    balances = (await stack.run("accounts", "get", "solo", "--json")).document["balances"]
    assert balances[0]["committed"] >= generation["cost"] > 0
    assert balances[0]["reserved"] == 0

    assert await stack.send(signal.SIGINT) == 0
    assert stack.processes() == []
    assert not (stack.directory / "ephemeral").exists()
    assert not (stack.directory / "stack.json").exists()
    assert (await stack.run("status")).code == 69


async def test_after_a_kill_the_data_is_kept_and_the_orphans_are_gone(stack):
    await stack.start()
    made = await stack.run("generate", "a lighthouse at dusk", "--account", "acme", "--json")
    assert made.code == 0
    before = (await stack.run("accounts", "get", "acme", "--json")).document["balances"]
    await stack.send(signal.SIGKILL)
    orphans = stack.processes()
    names = {process.name() for process in orphans}
    assert {"postgres", "valkey-server"} < names

    await stack.start()
    assert not any(lives(process) for process in orphans)
    after = (await stack.run("accounts", "get", "acme", "--json")).document["balances"]
    assert after == before
    again = (
        await stack.run("generate", "a lighthouse at dusk", "--account", "acme", "--json")
    ).document
    assert again["generations"][0]["cached"] == "exact"
    assert (await stack.run("audit")).code == 0
    assert await stack.send(signal.SIGTERM) == 0
    assert stack.processes() == []


async def test_an_ephemeral_stack_that_was_killed_leaves_nothing_behind(stack):
    await stack.start("--ephemeral")
    await stack.run("accounts", "create", "passing")
    await stack.send(signal.SIGKILL)
    orphans = stack.processes()
    assert orphans
    await stack.start()
    assert not any(lives(process) for process in orphans)
    assert not (stack.directory / "ephemeral").exists()
    assert (await stack.run("accounts", "get", "passing")).code == 5
    assert await stack.send(signal.SIGINT) == 0


async def test_a_part_that_dies_is_started_again(stack):
    await stack.start("--ephemeral")
    state = stack.directory / "stack.json"
    for part in ("authority_pid", "worker_pid"):
        pid = stack.document[part]
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda part=part, old=pid: _another(state, part, old), 30)
    assert json.loads(state.read_text())["address"] == stack.document["address"]
    made = await stack.run("generate", "a patient heron", "--account", "acme")
    assert made.code == 0, made.err
    assert (await stack.run("audit")).code == 0
    assert await stack.send(signal.SIGINT) == 0
    said = (await stack.process.stderr.read()).decode()
    assert "The authority ended with signal 9" in said
    assert "The worker ended with signal 9" in said


async def test_a_part_that_keeps_dying_ends_the_stack(stack):
    await stack.start("--ephemeral")
    state = stack.directory / "stack.json"
    pid = stack.document["worker_pid"]
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        pid = await eventually(lambda old=pid: _another(state, "worker_pid", old), 30)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(stack.process.wait(), 60) == 1
    assert "is not started again" in (await stack.process.stderr.read()).decode()
    assert stack.processes() == []


def _another(state, part, old):
    pid = json.loads(state.read_text())[part]
    return pid if pid != old else None


async def test_more_parts_join_a_running_stack_but_no_second_stack(stack):
    await stack.start("--ephemeral")
    second = await stack.run("dev", "--ephemeral")
    assert second.code == 1
    assert f"process {stack.document['pid']}" in second.err
    assert (await stack.run("migrate", "--json")).document == {"applied": []}
    async with stack.beside("serve", "--port", "0") as served, stack.beside("worker") as worked:
        assert worked["providers"] == ["sandbox", "print"]
        token = {"PAYMASTER_TOKEN_FILE": stack.document["token_file"]}
        status = await stack.run("status", "--json", PAYMASTER_ADDRESS=served["address"], **token)
        assert len(status.document["workers"]) == 2
        taken = await stack.run("serve", "--port", served["address"].split(":")[1])
        assert taken.code == 1
        assert "in use" in taken.err
    unsigned = await stack.run("status", PAYMASTER_ADDRESS=stack.document["address"])
    assert unsigned.code == 4
    assert await stack.send(signal.SIGINT) == 0


async def test_a_stack_has_keys_of_its_own_and_no_root_token(stack):
    # What the environment has for another authority is no way into this one.
    await stack.start("--ephemeral", PAYMASTER_TOKEN="root-of-another")
    address = {"PAYMASTER_ADDRESS": stack.document["address"]}
    assert (await stack.run("status", PAYMASTER_TOKEN="root-of-another", **address)).code == 4
    keys = (await stack.run("keys", "list", "--json")).document["api_keys"]
    by_name = {key["display_name"]: key for key in keys}
    assert by_name.keys() == {"paymaster dev", "worker"}
    assert {key["tenant"] for key in keys} == {"platform"}
    assert by_name["worker"]["scopes"] == ["SPEND"]
    files = [stack.directory / name for name in ("token", "worker-token", "stack.json")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    spender = {"PAYMASTER_TOKEN_FILE": str(files[1]), **address}
    assert (await stack.run("status", **spender)).code == 6
    old = files[0].read_text().strip()
    assert await stack.send(signal.SIGINT) == 0
    logs = [file.read_text() for file in stack.directory.rglob("process.log*")]
    assert not any(old.split("_", 2)[2] in log for log in logs)


async def test_a_revoked_key_is_replaced(stack, database_url, redis_url):
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    await stack.start(**urls)
    old = (stack.directory / "token").read_text().strip()
    assert (await stack.run("keys", "revoke", old.split("_")[1])).code == 0
    assert await stack.send(signal.SIGINT) == 0
    await stack.start(**urls)
    assert (stack.directory / "token").read_text().strip() != old
    assert (await stack.run("status")).code == 0
    assert await stack.send(signal.SIGINT) == 0


async def test_stores_of_ones_own_replace_the_embedded_ones(stack, database_url, redis_url):
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    await stack.start(**urls)
    assert database_url.split("@")[1].startswith(stack.document["postgres"])
    assert not (stack.directory / "postgres").exists()
    assert not (stack.directory / "valkey").exists()
    made = await stack.run("generate", "a borrowed umbrella", "--account", "acme")
    assert made.code == 0, made.err
    assert await stack.send(signal.SIGINT) == 0
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM generation")
        assert await cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    ("variables", "code", "told"),
    [
        ({"DATABASE_URL": "mysql://me:secret@host/name"}, 2, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/name"}, 1, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://me:secret@[::1/name"}, 2, "DATABASE_URL"),
        ({"REDIS_URL": "nonsense-secret"}, 2, "REDIS_URL"),
        ({"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}, 1, "REDIS_URL"),
        ({"REDIS_URL": "redis://:secret@127.0.0.1:99999/0"}, 2, "REDIS_URL"),
        ({"AUTHORITY_PORT": "many"}, 2, "AUTHORITY_PORT"),
    ],
)
async def test_settings_that_cannot_be_used_are_told_without_secrets(stack, variables, code, told):
    result = await stack.run("dev", "--ephemeral", **variables)
    assert result.code == code
    assert result.err.startswith(f"error: {told}")
    assert "secret" not in result.err
    assert stack.processes() == []


async def test_a_port_in_use_is_told(stack):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = await stack.run("dev", "--ephemeral", AUTHORITY_PORT=port)
    assert result.code == 1
    assert f"127.0.0.1:{port}" in result.err
    assert "AUTHORITY_PORT" in result.err
    assert stack.processes() == []


async def test_a_second_ctrl_c_does_not_wait(stack):
    await stack.start("--ephemeral")
    # It can't end in order, as one whose provider hangs.
    os.kill(stack.document["worker_pid"], signal.SIGSTOP)
    stack.process.send_signal(signal.SIGINT)
    assert b"Stopping" in await asyncio.wait_for(stack.process.stderr.readline(), 10)
    start = time.monotonic()
    assert await stack.send(signal.SIGINT) == 0
    assert time.monotonic() - start < 10
    assert stack.processes() == []


async def test_ctrl_c_while_starting_leaves_nothing_running(stack):
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "dev",
        env=environment(PAYMASTER_DATA_DIR=str(stack.directory)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await eventually(lambda: len(stack.processes()) > 0, 30)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out == b""
    assert b"Traceback" not in err
    assert stack.processes() == []
