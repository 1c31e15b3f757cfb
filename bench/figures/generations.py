"""Generations that make next to nothing, through the whole pipeline; and when a job is begun."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from statistics import median, quantiles
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

import psycopg
from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func
from redis.asyncio import Redis

from bench.children import ROOT
from bench.machine import Machine, sample_of
from bench.population import Population
from bench.processor import spent
from bench.report import Figure, less, more
from clients import GenerationClient, Kind, Scope
from generations.beats import read_beats

_WORKERS = 2
# What DESIGN asks of two workers on two cores.
_RATE_MIN = 50.0
_WARM_UP = 20
_SUBMITTERS = 16
_START_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.02
# Seldom, as it is not to be what is measured; the time of the end is in the ledger.
_LOOK_SECONDS = 0.25
_MODEL = "sandbox-chat"


async def measure(machine: Machine) -> list[Figure]:
    """Measure two workers, at work and at rest, and arq as it comes beside them."""
    population = Population("generating")
    await machine.populate(population)
    await machine.grant(population)
    count = max(int(machine.scale.seconds * 300), 20)
    picks = max(int(machine.scale.seconds * 40), 5)
    async with machine.admin() as admin:
        key = await admin.create_api_key("platform", [Scope.SUBMIT])
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            GenerationClient(machine.authority.address, token=key.token, timeout=30)
        )
        ledger = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(machine.stores.postgres.url, autocommit=True)
        )
        submitter = _Submitter(ledger, client, population.user(0))
        workers = await stack.enter_async_context(_running_workers(machine))
        await submitter.make(_WARM_UP)
        groups = {
            "authority": [machine.authority.pid],
            "server": workers,
            "Valkey": [machine.stores.valkey.pid],
            "Postgres": [machine.stores.postgres.pid],
        }
        before = spent(groups)
        seconds = await submitter.make(count)
        after = spent(groups)
        ours = [await submitter.pick_up_ms() for _ in range(picks)]
    latencies = {"pick-up": {"p50": median(ours), "p99": _p99(ours)}}
    made = {
        "counts": {"generation": count},
        "seconds": seconds,
        "latencies": latencies,
        "failures": {},
    }
    name = "generations (the server is two workers)"
    machine.notes.samples[name] = sample_of([made], before, after)
    plain = await _plain_picks_ms(machine.stores.valkey.url, picks)
    return [
        more(
            f"chats of the sandbox through the whole pipeline, {_WORKERS} workers",
            count / seconds,
            "generations/s",
            "what is asked for",
            _RATE_MIN,
            1.0,
        ),
        *(
            less(
                f"from submission to a worker's claim, {name}",
                at(ours),
                "ms",
                "plain arq",
                at(plain),
            )
            for name, at in (("p50", median), ("p99", _p99))
        ),
    ]


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


class _Submitter:
    """Submits generations, each with a prompt of its own, and looks in the ledger for their end."""

    def __init__(
        self, ledger: psycopg.AsyncConnection, client: GenerationClient, account: str
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._account = account

    async def make(self, count: int) -> float:
        """Make so many; return how many seconds it took. Raises RuntimeError if one failed."""
        numbers = iter(range(count))
        ids: list[str] = []

        async def submit() -> None:
            ids.extend([await self._submit() for _ in numbers])

        async with asyncio.TaskGroup() as group:
            for _ in range(_SUBMITTERS):
                group.create_task(submit())
        await self._ended(ids, _LOOK_SECONDS)
        (seconds,) = await self._one(
            "SELECT extract(epoch FROM max(end_time) - min(create_time))::float8"
            " FROM generation WHERE generation_id = ANY(%s)",
            ids,
        )
        return float(seconds)

    async def pick_up_ms(self) -> float:
        """Return how long one that is alone waits for a worker."""
        ids = [await self._submit()]
        await self._ended(ids, _POLL_SECONDS)
        (ms,) = await self._one(
            "SELECT 1000 * extract(epoch FROM start_time - create_time)::float8"
            " FROM generation WHERE generation_id = ANY(%s)",
            ids,
        )
        return float(ms)

    async def _submit(self) -> str:
        # Nothing is known of it, so that nothing comes from the cache.
        made = await self._client.submit(
            self._account, f"Say {uuid4().hex}.", kind=Kind.CHAT, model=_MODEL, max_tokens=16
        )
        return made.generation_id

    async def _ended(self, ids: list[str], poll_seconds: float) -> None:
        async with asyncio.timeout(_END_SECONDS_MAX):
            while True:
                open_count, failed = await self._one(
                    "SELECT count(*) FILTER (WHERE state IN ('QUEUED', 'RUNNING')),"
                    " count(*) FILTER (WHERE state IN ('FAILED', 'DENIED', 'CANCELLED'))"
                    " FROM generation WHERE generation_id = ANY(%s)",
                    ids,
                )
                if failed:
                    raise RuntimeError(f"{failed} generations of {len(ids)} failed")
                if not open_count:
                    return
                await asyncio.sleep(poll_seconds)

    async def _one(self, statement: Any, ids: list[str]) -> tuple[Any, ...]:
        row = await (await self._ledger.execute(statement, [ids])).fetchone()
        assert row is not None, "an aggregate has a row"
        return row


@asynccontextmanager
async def _running_workers(machine: Machine) -> AsyncIterator[list[int]]:
    """Run workers, with the sandbox alone, until the block ends; give their process ids."""
    stores = machine.stores
    environment = {
        **os.environ,
        "DATABASE_URL": stores.postgres.url,
        "REDIS_URL": stores.valkey.url,
        "PAYMASTER_ADDRESS": machine.authority.address,
        "PAYMASTER_TOKEN": machine.token,
        "PAYMASTER_ARTIFACTS": str(stores.home / "artifacts"),
        "WORKERS_SANDBOX": "true",
        "WORKERS_COMPLETION_WAIT_S": "5",
    }
    with (stores.home / "workers.log").open("wb") as log:
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers"),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
            for _ in range(_WORKERS)
        ]
    try:
        async with asyncio.timeout(_START_SECONDS_MAX), Redis.from_url(stores.valkey.url) as redis:
            while len(await read_beats(redis)) < _WORKERS:
                if any(process.returncode is not None for process in processes):
                    raise RuntimeError((stores.home / "workers.log").read_text())
                await asyncio.sleep(_POLL_SECONDS)
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _plain_picks_ms(redis_url: str, count: int) -> list[float]:
    """Return how long a job waits, alone, for a worker of arq's with nothing set."""
    begun: asyncio.Queue[float] = asyncio.Queue()

    async def begin(_context: dict[Any, Any]) -> None:
        begun.put_nowait(perf_counter())

    redis = await create_pool(RedisSettings.from_dsn(redis_url))
    begins = func(cast("Any", begin), name="begin")
    worker = Worker([begins], redis_pool=redis, handle_signals=False, queue_name="bench:plain")
    working = asyncio.create_task(worker.async_run())
    picks = []
    try:
        for _ in range(count):
            start = perf_counter()
            await redis.enqueue_job("begin", _queue_name="bench:plain")
            picks.append(1000 * (await begun.get() - start))
    finally:
        working.cancel()
        await asyncio.wait([working, *worker.tasks.values()])
        await redis.aclose(close_connection_pool=True)
    return picks
