"""Throughput and p99 as accounts, open reservations and ledger rows grow by steps of 10.

Every size has stores and an authority of its own, so that all sizes are measured in turn and what
disturbs the machine disturbs each alike. Those that wait cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import psutil

from bench.history import add_history
from bench.machine import Machine, Run, open_machine
from bench.population import Population
from bench.report import Figure, alone, more
from bench.samples import Sample

# Each growth by 10 in size costs at most 15 % of throughput.
_AT_LEAST = 0.85
_MAKE_SECONDS_MAX = 1_800
_MAKERS = 256

Grow = Callable[[Machine, int], Awaitable[Population]]


async def measure(machine: Machine) -> list[Figure]:
    """Grow one thing after the other."""
    scale = machine.scale
    held, rows = scale.reservations_max, scale.ledger_rows_max
    tenants = scale.tenants
    some = max(scale.accounts_max // 100, tenants)
    return [
        *await _steps(machine, "accounts of 1 tenant", [1, some], _accounts_of(1)),
        *await _steps(
            machine,
            f"accounts of {tenants} tenants",
            _tens(scale.accounts_max // 10, scale.accounts_max, first=some),
            _accounts_of(tenants),
        ),
        *await _steps(machine, "open reservations", _tens(held // 10, held), _reservations),
        *await _steps(machine, "ledger rows", _tens(rows // 10, rows), _ledger_rows),
    ]


def _tens(second: int, last: int, first: int = 0) -> list[int]:
    """Return `first`, and sizes from `second` to `last`, each 10 times the one before."""
    sizes = [first, min(max(second, 1), last)]
    while sizes[-1] * 10 <= last:
        sizes.append(sizes[-1] * 10)
    return sizes


def _tenfold(before: int, after: int) -> int:
    """Return how often a size has grown by 10; once where it was nothing."""
    return len(str(after // before)) - 1 if before else 1


async def _steps(machine: Machine, what: str, sizes: list[int], grow: Grow) -> list[Figure]:
    async with AsyncExitStack() as stack:
        runs: dict[str, Run] = {}
        for size in sizes:
            home = machine.stores.home / f"{what.replace(' ', '-')}-{size}"
            own = await open_machine(stack, home, machine.scale, machine.notes)
            runs[f"session 64, {size:,} {what}"] = _run(own, await grow(own, size))
        found = await machine.contest(runs)
    samples = list(found.values())
    machine.notes.curves[what] = list(zip(sizes, samples, strict=True))
    names = list(found)
    first = alone(_with_p99(names[0], samples[0]), samples[0].rate, "operations/s")
    return [first] + [
        more(
            _with_p99(names[step], samples[step]),
            samples[step].rate,
            "operations/s",
            _with_p99(names[step - 1], samples[step - 1]),
            samples[step - 1].rate,
            _AT_LEAST ** _tenfold(sizes[step - 1], sizes[step]),
        )
        for step in range(1, len(names))
    ]


def _run(machine: Machine, population: Population) -> Run:
    async def run() -> Sample:
        return await machine.measure(machine.work("session cycles", population))

    return run


def _with_p99(name: str, sample: Sample) -> str:
    return f"{name}, p99 {sample.percentile('p99'):.1f} ms"


def _accounts_of(tenants: int) -> Grow:
    """Return what makes accounts, and lets each spend once: it is then in the hot state."""

    async def grow(machine: Machine, size: int) -> Population:
        teams = 10 if size > tenants else 1
        population = Population("grown", tenants, teams, size // tenants // teams)
        await machine.populate(population)
        await machine.grant(population)
        work = machine.work("session touches", population, callers=_MAKERS, warm_up=0)
        touched = await machine.measure(work.lasting(_MAKE_SECONDS_MAX))
        done = touched.rate * touched.seconds
        held = psutil.Process(machine.authority.pid).memory_info().rss / 2**20
        machine.notes.remark(
            f"{done:,.0f} of {population.size:,} accounts of {tenants} tenants have spent, "
            f"{touched.rate:,.0f}/s; the authority holds {held:,.0f} MiB."
        )
        return population

    return grow


async def _reservations(machine: Machine, size: int) -> Population:
    """Hold reservations through the product, and leave them open."""
    if size:
        work = machine.work("holds", machine.spread, callers=4, warm_up=0, count=size)
        made = await machine.measure(work.lasting(_MAKE_SECONDS_MAX))
        done = made.rate * made.seconds
        machine.notes.remark(f"{done:,.0f} reservations are open, made at {made.rate:,.0f}/s.")
    return machine.thousand


async def _ledger_rows(machine: Machine, size: int) -> Population:
    """Give the ledger a past."""
    await add_history(machine.stores.postgres.url, size)
    return machine.thousand
