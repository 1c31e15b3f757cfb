"""`paymaster dev`: started, used, stopped, killed and started again, as a person does it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
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

    async def start(self, *options):
        """Start `paymaster dev --json` and wait until it says where everything listens."""
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "dev",
            "--json",
            *options,
            env=environment(PAYMASTER_DATA_DIR=str(self.directory)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        assert line, (await self.process.stderr.read()).decode()
        self.document = json.loads(line)

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
    assert stack.document["providers"] == ["sandbox"]
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


async def test_a_second_stack_on_the_same_data_is_refused(stack):
    await stack.start("--ephemeral")
    second = await stack.run("dev", "--ephemeral")
    assert second.code == 1
    assert f"process {stack.document['pid']}" in second.err
    assert (await stack.run("status")).code == 0
    assert await stack.send(signal.SIGINT) == 0


@pytest.mark.parametrize("part", ["authority_pid", "worker_pid"])
async def test_a_part_that_dies_is_started_again(stack, part):
    await stack.start("--ephemeral")
    os.kill(stack.document[part], signal.SIGKILL)
    state = stack.directory / "stack.json"
    await eventually(lambda: json.loads(state.read_text())[part] != stack.document[part], 30)
    assert json.loads(state.read_text())["address"] == stack.document["address"]
    made = await stack.run("generate", "a patient heron", "--account", "acme")
    assert made.code == 0, made.err
    assert (await stack.run("audit")).code == 0
    assert await stack.send(signal.SIGINT) == 0
    assert "ended with signal 9" in (await stack.process.stderr.read()).decode()


async def test_a_part_that_keeps_dying_ends_the_stack(stack):
    await stack.start("--ephemeral")
    state = stack.directory / "stack.json"
    pid = stack.document["worker_pid"]
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        pid = await eventually(lambda old=pid: _another(state, old), 30)
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(stack.process.wait(), 60) == 1
    assert "is not started again" in (await stack.process.stderr.read()).decode()
    assert stack.processes() == []


def _another(state, old):
    pid = json.loads(state.read_text())["worker_pid"]
    return pid if pid != old else None


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
