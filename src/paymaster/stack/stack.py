"""The dev stack: stores, authority and worker on this machine, one stack per data directory.

What holds when the owner dies at any point: the lock on the data directory goes with it, and the
next owner ends whatever still works in the directory before it starts anything of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import psycopg

from authority.domain.callers import Scope
from authority.embedded import DataDirectory, EmbeddedError, ports, processes, write_private
from authority.embedded.directory import make_directory
from authority.ledger.migrate import MigrationError, migrate
from paymaster.stack.children import Child, end_orphans
from paymaster.stack.errors import NotReady, StackFailed
from paymaster.stack.keys import kept_token
from paymaster.stack.readiness import worker_ready
from paymaster.stack.restarts import keep_child, keep_server
from paymaster.stack.state import STATE_FILE, StackState
from paymaster.stack.stores import DATABASE_VARIABLE, REDIS_VARIABLE, Stores, running_stores, shown

Result = TypeVar("Result")

HOST = "127.0.0.1"
_EPHEMERAL = "ephemeral"
# Of the environment of whoever starts a stack, what says who calls another authority and how. The
# stack's own has no root token, and is reached on this machine alone.
NOT_OURS = (
    "PAYMASTER_TOKEN",
    "PAYMASTER_TOKEN_FILE",
    "PAYMASTER_TLS_CA",
    "PAYMASTER_TLS_CERTIFICATE",
    "PAYMASTER_TLS_KEY",
    "AUTHORITY_TLS_CERTIFICATE",
    "AUTHORITY_TLS_KEY",
    "AUTHORITY_TLS_CLIENT_CA",
)
# Our programs in the order in which they are stopped, with their directories.
_MODULES = {"workers": "worker", "authority": "authority"}
_START_SECONDS_MAX = 60
_WORKER_DRAIN_SECONDS = 15
_STOP_SECONDS_MAX = 20  # Longer than either program's own drain.


class Stack:
    """A stack that runs as long as the `async with` block, on a data directory of its own.

    `urls` names stores to use in place of embedded ones, by variable. With `ephemeral` its data is
    in a folder of the data directory that is removed at the end. `worker_environment` comes on top
    of the environment for the worker alone. `announce` is told what a person should know. When
    `hurry` is set, a stop under way no longer waits for anything.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], datetime],
        announce: Callable[[str], None],
        urls: Mapping[str, str],
        ephemeral: bool = False,
        worker_environment: Mapping[str, str] | None = None,
    ) -> None:
        self._data = DataDirectory(directory)
        self._clock = clock
        self._start_time = clock().isoformat(timespec="seconds")
        self._announce = announce
        self._urls = urls
        self._ephemeral = ephemeral
        self._worker_environment = worker_environment or {}
        self._exits = AsyncExitStack()
        self._environment: dict[str, str] = {}
        self._token = self._worker_token = ""
        self._state: StackState | None = None
        self._stores: Stores | None = None
        self.authority = Child("authority", self.root / _MODULES["authority"])
        self.worker = Child("workers", self.root / _MODULES["workers"])
        self.providers: tuple[str, ...] = ()  # Those that are live in the worker.
        self.hurry = asyncio.Event()
        self.stopping = False

    @property
    def directory(self) -> Path:
        """The data directory, where the lock and the state file are."""
        return self._data.path

    @property
    def root(self) -> Path:
        """Where the data is: the data directory, or a folder of it."""
        return self.directory / _EPHEMERAL if self._ephemeral else self.directory

    @property
    def token_file(self) -> Path:
        """The file with the API key of the commands, which may do everything."""
        return self.directory / "token"

    @property
    def _port_file(self) -> Path:
        return self.root / "authority.port"

    @property
    def state(self) -> StackState:
        """Where everything listens, once the stack was started."""
        assert self._state is not None, "the stack is not started"
        return self._state

    @property
    def stores(self) -> Stores:
        """The stores, once the stack was started."""
        assert self._stores is not None, "the stack is not started"
        return self._stores

    async def __aenter__(self) -> Self:
        """Start everything, or nothing.

        Raises StackFailed.
        """
        try:
            await self._start()
        except BaseException as error:  # noqa: BLE001  # Whatever it is, nothing is left running.
            self.stopping = True
            await self._exits.aclose()
            raise _told(error) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything in reverse order; the worker first, so that it can settle its work."""
        self.stopping = True
        await self._exits.aclose()

    async def watch(self) -> NoReturn:
        """Start again what ends by itself, a bounded number of times. Raises StackFailed."""
        try:
            async with asyncio.TaskGroup() as group:
                for child, start in (
                    (self.authority, self._restart_authority),
                    (self.worker, self._restart_worker),
                ):
                    group.create_task(keep_child(child, start, self._announce))
                for server in self.stores.embedded:
                    group.create_task(keep_server(server, self._announce))
        except ExceptionGroup as errors:
            raise _told(errors.exceptions[0]) from None
        raise AssertionError("the tasks above never end by themselves")

    async def _start(self) -> None:
        self._exits.enter_context(self._data)
        if count := await end_leftovers(self.directory):
            self._announce(f"Processes of an earlier run that were ended: {count}.")
        await asyncio.to_thread(self._remove_ephemeral)
        if self._ephemeral:
            self._exits.callback(self._remove_ephemeral)
            make_directory(self.root)
        self._stores = await self._exits.enter_async_context(running_stores(self.root, self._urls))
        await self._prepare_database()
        # Chosen here, so that the worker can be started without waiting for the authority, and so
        # that an authority that is started again listens where others look for it.
        port = os.environ.get("AUTHORITY_PORT") or "0"
        if port == "0":
            port = str(ports.choose())
        self._environment = {
            DATABASE_VARIABLE: self.stores.database_url,
            REDIS_VARIABLE: self.stores.redis_url,
            "PAYMASTER_ARTIFACTS": str(self.root / "artifacts"),
            "PAYMASTER_ADDRESS": f"{HOST}:{port}",
            "AUTHORITY_HOST": HOST,
            "AUTHORITY_PORT": port,
            "AUTHORITY_PORT_FILE": str(self._port_file),
            "AUTHORITY_WEB_PORT": os.environ.get("AUTHORITY_WEB_PORT") or "0",
            **dict.fromkeys(NOT_OURS, ""),
        }
        self._exits.push_async_callback(self._stop, self.authority)
        self._exits.push_async_callback(self._stop, self.worker)
        await self._spawn_authority()
        await self._spawn_worker()
        await self._authority_ready()
        await self._worker_ready()
        self._exits.callback((self.directory / STATE_FILE).unlink, missing_ok=True)
        self._write_state()

    async def _prepare_database(self) -> None:
        """Bring the schema up to date, and let the commands and the worker in."""
        url, now = self.stores.database_url, self._clock()
        worker_file = self.directory / "worker-token"
        try:
            await migrate(url)
            self._token = await kept_token(url, self.token_file, "paymaster dev", Scope, now)
            self._worker_token = await kept_token(url, worker_file, "worker", [Scope.SPEND], now)
        except psycopg.Error as error:
            raise StackFailed(
                f"Postgres at {shown(self.stores.database_url)} can't be used: {error}"
            ) from error

    async def _spawn_authority(self) -> None:
        self._port_file.unlink(missing_ok=True)
        await self.authority.start(self._environment)

    async def _authority_ready(self) -> None:
        await self._started(self.authority, _written(self._port_file))

    async def _spawn_worker(self) -> None:
        own = {
            "WORKERS_COMPLETION_WAIT_S": str(_WORKER_DRAIN_SECONDS),
            **self._environment,
            "PAYMASTER_TOKEN": self._worker_token,
        }
        await self.worker.start(own | dict(self._worker_environment))

    async def _worker_ready(self) -> None:
        ready = worker_ready(
            self._environment["PAYMASTER_ADDRESS"],
            self._token,
            self.worker.pid,
        )
        self.providers = (await self._started(self.worker, ready)).providers

    async def _restart_authority(self) -> None:
        await self._spawn_authority()
        await self._authority_ready()
        self._write_state()

    async def _restart_worker(self) -> None:
        await self._spawn_worker()
        await self._worker_ready()
        self._write_state()

    async def _started(self, child: Child, ready: Coroutine[Any, Any, Result]) -> Result:
        """Wait until a program is ready. Raises NotReady, and then the program has ended."""
        readiness = asyncio.create_task(ready)
        end = asyncio.create_task(child.ended())
        try:
            await asyncio.wait(
                {readiness, end},
                timeout=_START_SECONDS_MAX,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if readiness.done():
                return await readiness
            if not end.done():
                await child.stop(0, self.hurry)
            raise NotReady(f"The stack did not start. {await end}")
        finally:
            readiness.cancel()
            end.cancel()

    async def _stop(self, child: Child) -> None:
        await child.stop(_STOP_SECONDS_MAX, self.hurry)

    def _write_state(self) -> None:
        self._state = StackState(
            pid=os.getpid(),
            start_time=self._start_time,
            ephemeral=self._ephemeral,
            address=self._environment["PAYMASTER_ADDRESS"],
            token=self._token,
            worker_token=self._worker_token,
            database_url=self._environment["DATABASE_URL"],
            redis_url=self._environment["REDIS_URL"],
            artifacts=self._environment["PAYMASTER_ARTIFACTS"],
            authority_pid=self.authority.pid,
            worker_pid=self.worker.pid,
        )
        text = json.dumps(asdict(self._state), indent=2) + "\n"
        write_private(self.directory / STATE_FILE, text)

    def _remove_ephemeral(self) -> None:
        shutil.rmtree(self.directory / _EPHEMERAL, ignore_errors=True)


async def end_leftovers(directory: Path) -> int:
    """End what an earlier stack left running on a data directory, and return how many were.

    The caller holds the directory's lock. Raises StackFailed.
    """
    return await end_orphans(directory, _MODULES)


def _told(error: BaseException) -> BaseException:
    """Return what the owner of a stack is told of an error."""
    known = isinstance(error, EmbeddedError | MigrationError)
    return StackFailed(str(error)) if known else error


async def _written(file: Path) -> str:
    """Wait until a file has a text, and return it."""
    await processes.wait_until(
        lambda: file.exists() and file.stat().st_size > 0, _START_SECONDS_MAX
    )
    return await asyncio.to_thread(file.read_text, encoding="ascii")
