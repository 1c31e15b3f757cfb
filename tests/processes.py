"""Authorities as processes of their own, to be killed and stopped at will."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from authorities import TOKEN, Stubs
from support import eventually

_LOG_TAIL_LINES = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes of a test that failed have logged last."""
    report = yield
    home = item.funcargs.get("tmp_path") if report.failed else None
    for log in sorted(home.rglob("*log")) if isinstance(home, Path) else ():
        lines = log.read_text(errors="replace").splitlines()
        tail = "\n".join(lines[-_LOG_TAIL_LINES:])
        report.sections.append((f"end of {log.relative_to(home)}", tail))
    return report


class AuthorityProcess:
    """`python -m authority` on given stores, with settings by their names in the environment.

    Start again after a kill: it takes the same port.
    """

    def __init__(self, home: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.port_file = home / "port"
        self.log_file = home / "log"
        self.artifacts = home / "artifacts"
        self.settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **settings}
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._channel: grpc.aio.Channel | None = None

    async def start(self) -> Stubs:
        """Start it and connect to it."""
        self.port_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            **self.settings,
            "PAYMASTER_TOKEN": TOKEN,
            "PAYMASTER_ARTIFACTS": str(self.artifacts),
            "AUTHORITY_PORT": str(self._port),
            "AUTHORITY_PORT_FILE": str(self.port_file),
            "AUTHORITY_DRAIN_SECONDS": "5",
        }
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "authority", env=environment, stdout=log, stderr=log
            )
        self._port = await eventually(self._read_port, 20)
        if self._channel is None:
            options = [
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ]
            self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options)
        return self.stubs()

    def stubs(self) -> Stubs:
        """Return the services of this process, over one channel for its whole life."""
        assert self._channel is not None
        return Stubs(self._channel)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def _read_port(self) -> int:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(self.log_file.read_text())
        text = self.port_file.read_text() if self.port_file.exists() else ""
        return int(text or 0)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.signal(number)
        assert self._process is not None
        return await self._process.wait()

    async def close(self) -> None:
        """End it, whatever it does."""
        if self._channel is not None:
            await self._channel.close()
        if self._process is not None and self._process.returncode is None:
            await self.send(signal.SIGKILL)


@pytest.fixture
async def make_authority_process(
    tmp_path: Path,
) -> AsyncIterator[Callable[[str, str], Awaitable[AuthorityProcess]]]:
    """A function that makes an authority process, not started yet."""
    async with AsyncExitStack() as stack:
        count = 0

        async def make(database_url: str, redis_url: str) -> AuthorityProcess:
            nonlocal count
            count += 1
            home = tmp_path / f"authority-{count}"
            home.mkdir()
            process = AuthorityProcess(home, database_url, redis_url)
            stack.push_async_callback(process.close)
            return process

        yield make
