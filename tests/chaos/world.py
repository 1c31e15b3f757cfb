"""Two authorities, Valkey and Postgres as processes, with proxies on every way between them."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc

from authorities import Stubs
from authority.embedded import EmbeddedPostgres, EmbeddedValkey, processes
from authority.ledger.migrate import migrate
from processes import AuthorityProcess
from proxy import Proxy
from support import eventually

_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]


class World:
    """All that runs, to be broken."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.postgres = EmbeddedPostgres(home / "postgres")
        self.valkey = EmbeddedValkey(home / "valkey")
        self.authorities: list[AuthorityProcess] = []
        self.pair: list[Stubs] = []  # through the proxies
        # One for each authority: from its clients, to Valkey, to Postgres.
        self.proxies: dict[str, list[Proxy]] = {"client": [], "valkey": [], "postgres": []}
        self.offset_ms = 0
        self.snapshots: list[Path] = []

    async def authority(self, number: int, stack: AsyncExitStack) -> None:
        """Start one more authority, and proxies around it."""
        home = self.home / f"authority-{number}"
        home.mkdir()
        urls = []
        for name, server in (("postgres", self.postgres), ("valkey", self.valkey)):
            proxy = await stack.enter_async_context(Proxy(server.port))
            self.proxies[name].append(proxy)
            urls.append(re.sub(r":\d+/", f":{proxy.port}/", server.url))
        process = AuthorityProcess(home, *urls)
        stack.push_async_callback(process.close)
        self.authorities.append(process)
        await process.start()
        proxy = await stack.enter_async_context(Proxy(process._port))
        self.proxies["client"].append(proxy)
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}", _RECONNECT)
        await stack.enter_async_context(channel)
        self.pair.append(Stubs(channel))

    def move_clock(self, offset_ms: int) -> None:
        """Set by how much the clock of every authority that starts from now on is moved."""
        self.offset_ms = offset_ms
        for process in self.authorities:
            process.settings["AUTHORITY_CLOCK_OFFSET_MS"] = str(offset_ms)

    async def restart(self, numbers=(0, 1)) -> None:
        """Kill authorities, and start them again."""
        for number in numbers:
            await self.authorities[number].send(signal.SIGKILL)
        for number in numbers:
            await self.authorities[number].start()

    async def pids(self, name: str) -> list[int]:
        """Return the processes of a store, or of an authority by its number."""
        if name.isdigit():
            return [self.authorities[int(name)]._process.pid]
        server = self.postgres if name == "postgres" else self.valkey
        return [item.pid for item in await processes.find(server.programs, server.directory)]

    async def snapshot(self) -> None:
        """Keep a copy of what Valkey has on its disk."""
        copy = self.home / f"snapshot-{len(self.snapshots) % 3}"
        # A file may go while it is copied: the store writes them anew now and then.
        with suppress(OSError, shutil.Error):
            await asyncio.to_thread(_copy, self.valkey.directory / "appendonlydir", copy)
            self.snapshots.append(copy)

    async def restore(self) -> None:
        """Start Valkey on an older snapshot."""
        await self.valkey.kill()
        if self.snapshots:
            target = self.valkey.directory / "appendonlydir"
            await asyncio.to_thread(_copy, self.snapshots[-1], target)
        await self.valkey.start()

    async def ready(self) -> None:
        """Wait until both authorities answer."""
        for stubs in self.pair:
            await eventually(lambda stubs=stubs: _answers(stubs), 60)


@asynccontextmanager
async def running_world(home: Path):
    """Start all of it."""
    async with AsyncExitStack() as stack:
        world = World(home)
        await stack.enter_async_context(world.postgres)
        await stack.enter_async_context(world.valkey)
        await migrate(world.postgres.url)
        for number in range(2):
            await world.authority(number, stack)
        yield world


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


async def _answers(stubs) -> bool:
    try:
        return await stubs.differences("t0") is not None
    except grpc.aio.AioRpcError:
        return False
