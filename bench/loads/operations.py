"""The product's own operations: cycles of one Reserve and one Commit, Reserves alone, batches."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from authority.v1 import budget_service_pb2 as messages
from authority.v1.budget_service_pb2_grpc import BudgetServiceStub
from bench.loads.transports import (
    CALL_SECONDS,
    commit_request,
    open_channels,
    open_transport,
    reserve_request,
)
from bench.meter import Meter
from bench.runner import Step
from bench.work import Work

BATCH = 100
_DAY_SECONDS = 86_400


@asynccontextmanager
async def cycles(work: Work, way: str, mark: str = "") -> AsyncIterator[Step]:
    """Reserve, then Commit, by any user; `mark` tells these from others' in the same run."""
    async with open_transport(work, way) as transport:

        async def step(_caller: int, meter: Meter) -> None:
            account = work.population.user(random.randrange(work.population.size))
            started = time.perf_counter()
            reservation_id = await transport.reserve(account)
            meter.done(f"{mark}reserve", started)
            started = time.perf_counter()
            await transport.commit(reservation_id)
            meter.done(f"{mark}commit", started)

        yield step


@asynccontextmanager
async def holds(work: Work) -> AsyncIterator[Step]:
    """Reserve for a day, in batches, until as many are open as were asked for."""
    metadata = (("authorization", f"Bearer {work.token}"),)
    users = iter(range(work.count))
    async with open_channels(work) as (channel,):
        stub = BudgetServiceStub(channel)

        async def step(_caller: int, meter: Meter) -> None:
            requests = [
                reserve_request(work.population.user(number % work.population.size))
                for number in itertools.islice(users, BATCH)
            ]
            if not requests:
                raise StopAsyncIteration
            for request in requests:
                request.ttl.FromSeconds(_DAY_SECONDS)
            batch = messages.BatchReserveRequest(requests=requests)
            started = time.perf_counter()
            held = await stub.BatchReserve(batch, metadata=metadata, timeout=CALL_SECONDS)
            meter.done("hold", started, count=_done(held))

        yield step


@asynccontextmanager
async def reserves(work: Work) -> AsyncIterator[Step]:
    """Reserve by any user, and leave it at that."""
    async with open_transport(work, "unary") as transport:

        async def step(_caller: int, meter: Meter) -> None:
            account = work.population.user(random.randrange(work.population.size))
            started = time.perf_counter()
            await transport.reserve(account)
            meter.done("reserve", started)

        yield step


@asynccontextmanager
async def touches(work: Work) -> AsyncIterator[Step]:
    """Reserve and Commit by each user once, so that all of them are in the hot state."""
    users = iter(range(work.population.size))
    async with open_transport(work, "session") as transport:

        async def step(_caller: int, meter: Meter) -> None:
            number = next(users, None)
            if number is None:
                raise StopAsyncIteration
            started = time.perf_counter()
            await transport.commit(await transport.reserve(work.population.user(number)))
            meter.done("touch", started)

        yield step


@asynccontextmanager
async def batches(work: Work) -> AsyncIterator[Step]:
    """BatchReserve, then BatchCommit, of 100 items each."""
    metadata = (("authorization", f"Bearer {work.token}"),)
    async with open_channels(work) as (channel,):
        stub = BudgetServiceStub(channel)

        async def step(_caller: int, meter: Meter) -> None:
            numbers = [random.randrange(work.population.size) for _ in range(BATCH)]
            reserve = messages.BatchReserveRequest(
                requests=[reserve_request(work.population.user(number)) for number in numbers]
            )
            started = time.perf_counter()
            held = await stub.BatchReserve(reserve, metadata=metadata, timeout=CALL_SECONDS)
            meter.done("batch reserve", started, count=_done(held))
            ids = [result.response.reservation.reservation_id for result in held.results]
            commit = messages.BatchCommitRequest(requests=[commit_request(id_) for id_ in ids])
            started = time.perf_counter()
            settled = await stub.BatchCommit(commit, metadata=metadata, timeout=CALL_SECONDS)
            meter.done("batch commit", started, count=_done(settled))

        yield step


def _done(answer: messages.BatchReserveResponse | messages.BatchCommitResponse) -> int:
    """Return how many items a batch has. Raises RuntimeError if one of them failed."""
    for result in answer.results:
        if result.HasField("error"):
            raise RuntimeError(f"code {result.error.code}: {result.error.message}")
    return len(answer.results)
