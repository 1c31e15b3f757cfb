"""An authority, workers, Valkey and Postgres as processes, and an emulator of the providers."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from authorities import TOKEN
from authority.embedded import EmbeddedPostgres, EmbeddedValkey
from authority.ledger.migrate import migrate
from generating import WorkerProcess
from processes import AuthorityProcess
from workers.emulator import Emulator, running_emulator

WORKERS = 3
LEASE_S = 2.0
# Calls at one time of each provider. A place outlives its worker by two leases, and no call that
# the emulator is told to delay takes as long.
CONCURRENCY_CAP = 3


class World:
    """All that runs, to be broken. The emulator, which stands for what is not ours, is not."""

    def __init__(self, home: Path, emulator: Emulator) -> None:
        self.emulator = emulator
        self.postgres = EmbeddedPostgres(home / "postgres")
        self.valkey = EmbeddedValkey(home / "valkey")
        self.authority: AuthorityProcess
        self.workers: list[WorkerProcess] = []
        self._home = home

    async def start(self, stack: AsyncExitStack) -> None:
        """Start it."""
        await stack.enter_async_context(self.postgres)
        await stack.enter_async_context(self.valkey)
        await migrate(self.postgres.url)
        home = self._home / "authority"
        home.mkdir()
        self.authority = AuthorityProcess(home, self.postgres.url, self.valkey.url)
        stack.push_async_callback(self.authority.close)
        await self.authority.start()
        for number in range(WORKERS):
            worker = WorkerProcess(self._environment(), self._home / f"worker-{number}.log")
            stack.push_async_callback(worker.close)
            self.workers.append(worker)
            await worker.start()

    async def kill_worker(self, number: int) -> None:
        """Kill a worker, and start another in its place."""
        await self.workers[number].send(signal.SIGKILL)
        await self.workers[number].start()

    async def kill_authority(self) -> None:
        """Kill the authority, and start it again."""
        await self.authority.send(signal.SIGKILL)
        await self.authority.start()

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "PAYMASTER_ADDRESS": self.authority.address,
            "PAYMASTER_TOKEN": TOKEN,
            "PAYMASTER_ARTIFACTS": str(self.authority.artifacts),
            "WORKERS_SANDBOX": "false",
            "WORKERS_LEASE_S": str(LEASE_S),
            "WORKERS_RECONCILE_S": "1",
            **self.emulator.environment,
            "WORKERS_OPENAI_SECONDS_MAX": "5",
            "WORKERS_PROVIDER_CONCURRENCY": str(CONCURRENCY_CAP),
            # Every fault is on purpose here: a provider that is left alone would only slow it down.
            "WORKERS_BREAKER_OPEN_S": "0.5",
            "WORKERS_BREAKER_OPEN_S_MAX": "1",
        }


@asynccontextmanager
async def running_world(home: Path):
    """Start all of it."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(running_emulator())
        world = World(home, emulator)
        await world.start(stack)
        yield world
