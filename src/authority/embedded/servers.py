"""What the embedded servers have in common: one owner, one server, and an orderly end.

What holds when the owner dies at any point:
- The lock goes with the owner; the server, in a session of its own, stays.
- The pid file is there from before the first process is started until the last one has ended. An
  owner that finds it looks for what is left and ends it before it starts a server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ClassVar, Self

from authority.embedded import ports, processes
from authority.embedded.accounts import Account
from authority.embedded.directory import DataDirectory, kept_password
from authority.embedded.errors import (
    DataDirectoryError,
    EmbeddedError,
    PortInUse,
    ServerStartFailed,
    ServerStuck,
)

_PORT_ATTEMPTS_MAX = 10
_START_SECONDS_MAX = 60  # Long, since both servers read their log again after a crash.
_STOP_SECONDS_MAX = 30
_LEFTOVER_SECONDS_MAX = 10
_LOG_TAIL_LINES = 15


class EmbeddedServer(ABC):
    """A server on the loopback interface that keeps its data in one directory.

    `directory` belongs to this server alone. Without a `port`, a free one is chosen at the first
    start and kept by this object afterwards.
    """

    name: ClassVar[str]
    programs: ClassVar[frozenset[str]]  # The file names of every program that works in the data.
    stop_signal: ClassVar[signal.Signals]
    environment: ClassVar[Mapping[str, str]] = MappingProxyType({})  # What it needs of its own.

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        assert port is None or 0 < port < 65536, "a port is between 1 and 65535"
        self._directory = DataDirectory(directory)
        self._port = port
        self._password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account: Account | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r}, port={self._port})"

    @property
    def directory(self) -> Path:
        """Where everything of this server is kept."""
        return self._directory.path

    @property
    def log(self) -> Path:
        """What the server said since it was started last; `.previous` has the run before."""
        return self.directory / "server.log"

    @property
    def running(self) -> bool:
        """Say whether the server that this object started lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id, for a server that was started."""
        assert self._process is not None, f"{self.name} is not started"
        return self._process.pid

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, once the server was started."""
        assert self._port is not None, f"{self.name} was never started"
        return self._port

    @property
    def password(self) -> str:
        """The password, once the server was started."""
        assert self._password is not None, f"{self.name} was never started"
        return self._password

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, password included, once the server was started."""

    async def start(self) -> None:
        """Start the server and return when it serves; end what an earlier owner left running.

        Also restarts a server that died or was killed, on the same port and data.
        Raises one of EmbeddedError; then nothing runs and the directory is not locked.
        """
        assert not self.running, f"{self.name} runs already"
        try:
            if not self._directory.held:
                self._directory.acquire()
            await self._end_leftovers(signal_first=self.stop_signal)
            self._pid_file.touch(mode=0o600)
            self._password = kept_password(self.directory / "password")
            await self._prepare()
            await self._launch()
            await self._complete()
        except BaseException as error:
            await self._abandon()
            if isinstance(error, OSError):
                raise DataDirectoryError(
                    self.directory, f"{self.name} cannot be started in {self.directory}: {error}."
                ) from error
            raise

    async def stop(self) -> None:
        """Ask the server to end in order, kill it if it does not, and unlock the directory."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            await self._ended(_STOP_SECONDS_MAX)
        await self._abandon()

    async def kill(self) -> None:
        """Kill every process of the server, as a crash would. The directory stays locked."""
        if self._process is not None:
            self._process.kill()
            await self._ended(_STOP_SECONDS_MAX)
            await self._end_leftovers(signal_first=signal.SIGKILL)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @abstractmethod
    async def _prepare(self) -> None:
        """Make what the server needs before it starts."""

    @abstractmethod
    def _command(self, port: int) -> Sequence[str | Path]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    async def _serves(self) -> bool:
        """Say whether the server that was started accepts connections."""

    @abstractmethod
    async def _complete(self) -> None:
        """Finish what needs the running server."""

    @property
    def _pid_file(self) -> Path:
        return self.directory / "server.pid"

    async def _launch(self) -> None:
        # A chosen port may be taken before the server has it; one that was asked for is not ours
        # to change.
        attempts = _PORT_ATTEMPTS_MAX if self._port is None else 1
        while not await self._launch_on(port := self._port or ports.choose()):
            attempts -= 1
            if attempts == 0:
                raise PortInUse(self.name, port)
        self._port = port

    async def _launch_on(self, port: int) -> bool:
        """Start the server on a port; return False when something else has the port."""
        if not ports.is_free(port):
            return False
        self._process = self._spawn(self._command(port))
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not await self._serves():
            if not self.running:
                if not ports.is_free(port):
                    return False
                raise self._start_failed("ended while it was starting")
            if time.monotonic() > deadline:
                raise self._start_failed(f"did not serve within {_START_SECONDS_MAX} seconds")
            await asyncio.sleep(processes.POLL_SECONDS)
        return True

    def _spawn(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start a program in the directory, with a fresh log.

        It has a session of its own, so that Ctrl-C in the owner's terminal does not reach it, and
        an environment of its own: neither the owner's secrets nor PGPORT and the like are for it.
        """
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.previous"))
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        account = self._account
        try:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={"LC_ALL": "C", "PATH": os.defpath, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )
        finally:
            os.close(log)

    async def _ended(self, seconds_max: float) -> bool:
        """Wait for the process to end, and say whether it has."""
        return await processes.wait_until(lambda: not self.running, seconds_max)

    async def _end_leftovers(self, signal_first: signal.Signals) -> None:
        if self._pid_file.exists():
            found = await processes.find(self.programs, self.directory)
            left = await processes.end(found, signal_first, _LEFTOVER_SECONDS_MAX)
            if left:
                raise ServerStuck(self.name, self.directory, [process.pid for process in left])

    async def _abandon(self) -> None:
        """Kill what still runs, and unlock the directory."""
        try:
            if self._process is not None:
                await self.kill()
                self._pid_file.unlink(missing_ok=True)
        finally:
            self._process = None
            self._directory.release()

    def _start_failed(self, problem: str) -> EmbeddedError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return ServerStartFailed(self.name, problem, self.log, "\n".join(lines[-_LOG_TAIL_LINES:]))
