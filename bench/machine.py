"""One bench: its servers, its load processes, and how a run of load is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from bench.accounts import add_grants, add_population
from bench.children import Child
from bench.loads.plain import make_plain
from bench.loads.transports import open_transport
from bench.population import Population
from bench.processor import Group, spent
from bench.samples import Sample, together
from bench.scripts import caught, forget
from bench.servers import (
    Authority,
    BenchServer,
    Stores,
    running_authority,
    running_bench_server,
    running_stores,
)
from bench.work import Work
from clients import AdminClient, AuditReport, Scope

Run = Callable[[], Awaitable[Sample]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how large: `make bench`, `make bench-full`, or a test's few seconds."""

    seconds: float = 1.3
    warm_up: float = 0.4
    rounds: int = 3
    # From then on each run is made once: a busy machine makes the bench rougher, not longer.
    rounds_until_seconds: float = 180
    tenants: int = 100  # of 100 users each
    is_full: bool = False
    # Of bench-full alone: of the load that shows whether memory stays bounded.
    minutes: float = 10
    # Of bench-full alone, each tried at a tenth of it too.
    accounts_max: int = 1_000_000
    reservations_max: int = 1_000_000
    ledger_rows_max: int = 10_000_000
    # Of many tenants, in the similarity cache.
    cache_entries: int = 100_000
    # Of 90 days, of which any 30 are asked for.
    usage_events: int = 10_000_000


class Machine:
    """Servers with accounts on them, and processes that make load. `open_machine` makes one."""

    def __init__(self, stack: AsyncExitStack, stores: Stores, scale: Scale, notes: Notes) -> None:
        self.scale = scale
        self.stores = stores
        self.notes = notes
        self.token = ""
        self.hot = Population("hot")
        self.thousand = Population("base", 1, 10, max(scale.tenants, 1))
        self.spread = Population("wide", scale.tenants, 10, 10)
        # As many accounts, of one tenant.
        self.large = Population("large", 1, 10, 10 * scale.tenants)
        self._stack = stack
        self._root_token = os.urandom(16).hex()
        self._loads: list[Child] = []
        self.authority: Authority
        self.server: BenchServer

    async def start(self) -> None:
        """Start the authority and the server beside it, and make all that spend."""
        populations = (self.hot, self.thousand, self.spread, self.large)
        await self.populate(*populations)
        await make_plain(self.stores.plain_url, self.spread.size)
        self.authority = await self.start_authority()
        self.server = await self._stack.enter_async_context(
            running_bench_server(database_url=self.stores.plain_url)
        )
        async with self.admin() as admin:
            made = await admin.create_api_key("platform", [Scope.SPEND])
            self.token = made.token
        await self.grant(*populations)

    async def populate(self, *populations: Population) -> None:
        """Write accounts and budgets."""
        async with await AsyncConnection.connect(self.stores.postgres.url) as connection:
            for population in populations:
                await add_population(connection, population)

    async def grant(self, *populations: Population) -> None:
        """Give grants to accounts that were written."""
        async with self.admin() as admin:
            for population in populations:
                await add_grants(admin, population)

    def admin(self) -> AdminClient:
        """Return a client that may do everything."""
        return AdminClient(self.authority.address, token=self._root_token, timeout=30)

    async def start_authority(
        self, port: int = 0, stack: AsyncExitStack | None = None
    ) -> Authority:
        """Start an authority that lasts as long as the stack, or as the bench."""
        return await (stack or self._stack).enter_async_context(
            running_authority(self.stores, token=self._root_token, port=port)
        )

    async def templates(self) -> list[str]:
        """Catch the script calls of one cycle, and make a copy to repeat them on."""
        work = self.work("", self.hot)
        async with open_transport(work, "unary") as transport:

            async def cycle() -> None:
                await transport.commit(await transport.reserve(self.hot.user(0)))

            await cycle()  # what it finds missing is loaded now, and not when it is watched
            return await caught(self.stores.valkey.url, self.hot.tenant(0), cycle)

    async def forget_templates(self) -> None:
        """Remove the copy."""
        await forget(self.stores.valkey.url)

    async def audit(self) -> AuditReport:
        """Recompute the books of the hot tenant: what is fast and wrong is no figure."""
        async with self.admin() as admin:
            return await admin.audit(tenant=self.hot.tenant(0))

    def work(self, kind: str, population: Population | None = None, **changes: Any) -> Work:
        """Return a work on the product, as long as the scale says."""
        work = Work(
            kind,
            address=self.authority.address,
            token=self.token,
            redis_url=self.stores.valkey.url,
            population=population or self.thousand,
            seconds=self.scale.seconds,
            warm_up=self.scale.warm_up,
        )
        return replace(work, **changes)

    async def measure(
        self,
        *works: Work,
        server: Sequence[int] | None = None,
        name: str = "authority",
        loads: Sequence[Child] = (),
    ) -> Sample:
        """Let one load process for each work run at the same time, and measure them together.

        Args:
            works: each has its part of the load.
            server: the processes that serve, by default the authority.
            name: what the server is called among the parts.
            loads: the processes to use, one for each work; by default those of bench/load.py.

        """
        own = not loads
        loads = loads or await self._load_processes(len(works))
        groups: Group = {
            "client": [load.pid for load in loads],
            name: server if server is not None else [self.authority.pid],
            "Valkey": [self.stores.valkey.pid],
            "Postgres": [self.stores.postgres.pid],
        }
        try:
            return await _measured(works, loads, groups)
        except BaseException:
            # What they would say next is of this run.
            if own:
                await self._end_load_processes()
            raise

    async def _load_processes(self, count: int) -> list[Child]:
        """Return so many, and start those that are missing."""
        while len(self._loads) < count:
            child = await Child.start("-m", "bench.load")
            self._stack.push_async_callback(child.close)
            self._loads.append(child)
        return self._loads[:count]

    async def _end_load_processes(self) -> None:
        ended, self._loads = self._loads, []
        for load in ended:
            await load.close()

    async def contest(self, runs: Mapping[str, Run]) -> dict[str, Sample]:
        """Run all in turn, again and again: what disturbs the machine disturbs each alike.

        Every result goes into the notes too.
        """
        samples: dict[str, list[Sample]] = {name: [] for name in runs}
        for done in range(self.scale.rounds):
            if done and self.notes.age_seconds > self.scale.rounds_until_seconds:
                self.notes.remark(f"{next(iter(runs))}: time for {done} of the rounds only.")
                break
            for name, run in runs.items():
                samples[name].append(await run())
                self.notes.progress(name, samples[name][-1])
        found = {name: together(rows) for name, rows in samples.items()}
        self.notes.samples.update(found)
        return found


async def open_machine(stack: AsyncExitStack, home: Path, scale: Scale, notes: Notes) -> Machine:
    """Start stores in a directory and all that belongs to them; they end with the stack."""
    stores = await stack.enter_async_context(running_stores(home))
    machine = Machine(stack, stores, scale, notes)
    await machine.start()
    return machine


class Notes:
    """What is kept beside the figures: every result, curves for the plots, and remarks."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.samples: dict[str, Sample] = {}
        self.curves: dict[str, list[tuple[float, Sample]]] = {}
        self.remarks: list[str] = []
        self.problems: list[str] = []  # what makes the whole run worth little
        self._tell = tell
        self._started = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """How long the bench has been going on."""
        return time.monotonic() - self._started

    def progress(self, name: str, sample: Sample) -> None:
        """Tell how a run went, while the bench goes on."""
        self._tell(f"{name}: {sample.rate:,.0f}/s")

    def problem(self, text: str) -> None:
        """Keep a sentence for the report, which makes it end with an error."""
        self.problems.append(text)
        self.remark(text)

    def remark(self, text: str) -> None:
        """Keep a sentence for the report."""
        self.remarks.append(text)
        self._tell(text)


async def _measured(works: Sequence[Work], loads: Sequence[Child], groups: Group) -> Sample:
    """Let load processes do their works in step, and take the time of all parts meanwhile."""
    for load, work in zip(loads, works, strict=True):
        await load.tell(work.encode())
    for load in loads:
        await load.hear()
    for load in loads:
        await load.tell({"go": True})
    for load in loads:
        await load.hear()
    before = spent(groups)
    for load in loads:
        await load.hear()
    after = spent(groups)
    return sample_of([await load.hear() for load in loads], before, after)


def sample_of(
    results: Sequence[Mapping[str, Any]], before: Mapping[str, float], after: Mapping[str, float]
) -> Sample:
    """Return one sample of what load processes did at the same time."""
    count = sum(sum(result["counts"].values()) for result in results)
    seconds = max(result["seconds"] for result in results)
    used = {part: after[part] - before[part] for part in before}
    machine = used.pop("machine")
    capacity = seconds * (os.cpu_count() or 1)
    latencies: dict[str, dict[str, float]] = {}
    failures: dict[str, int] = {}
    for result in results:
        for name, row in result["latencies"].items():
            # Of several processes the slowest counts.
            known = latencies.setdefault(name, row)
            latencies[name] = {percent: max(row[percent], known[percent]) for percent in row}
        for text, number in result["failures"].items():
            failures[text] = failures.get(text, 0) + number
    return Sample(
        rate=count / seconds,
        seconds=seconds,
        latencies=latencies,
        processor={part: share / count * 1e6 for part, share in used.items()} if count else {},
        elsewhere=max(machine - sum(used.values()), 0) / capacity,
        failures=failures,
    )
