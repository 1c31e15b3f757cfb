"""escrowmint: reservations in Redis scripts; its client blocks, so each caller is a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from bench.meter import Meter
from bench.runner import Step
from bench.work import Work

_TTL_MS = 600_000


@asynccontextmanager
async def escrowmint_cycles(work: Work) -> AsyncIterator[Step]:
    """Reserve and commit, all of one resource."""
    from escrowmint import Client

    loop = asyncio.get_running_loop()
    with Client.from_url(work.redis_url) as client, ThreadPoolExecutor(work.callers) as threads:
        client.seed_available("hot", 2**51)

        def cycle() -> tuple[float, float, float]:
            started = time.perf_counter()
            held = client.reserve("hot", 40, ttl_ms=_TTL_MS)
            reserved = time.perf_counter()
            client.commit("hot", held.reservation_id)
            return started, reserved, time.perf_counter()

        async def step(_caller: int, meter: Meter) -> None:
            # One hand-over to a thread for both.
            started, reserved, ended = await loop.run_in_executor(threads, cycle)
            meter.done("reserve", started, ended=reserved)
            meter.done("commit", reserved, ended=ended)

        yield step
