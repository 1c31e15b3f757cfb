"""One hot account, and ten thousand: beside budgets in Postgres alone."""

from __future__ import annotations

from bench.machine import Machine, Run
from bench.population import Population
from bench.report import Figure, more
from bench.samples import Sample
from bench.work import Work

_CYCLES = "cycles/s"
_SECONDS_MAX = 60


async def measure(machine: Machine) -> list[Figure]:
    """Measure where everybody spends from one account, and from many."""
    return [*await _hot(machine), *await _spread(machine)]


async def _hot(machine: Machine) -> list[Figure]:
    hot = machine.hot

    async def locking() -> Sample:
        work = machine.work("locking cycles", hot, address=machine.server.address)
        return await machine.measure(work, server=[machine.server.pid], name="server")

    runs: dict[str, Run] = {
        "session hot 64": lambda: machine.measure(machine.work("session cycles", hot)),
        "psycopg hot 64": lambda: machine.measure(plain_work(machine, "hot")),
        "unary hot 64": lambda: machine.measure(machine.work("unary cycles", hot)),
        "SELECT FOR UPDATE hot 64": locking,
    }
    found = {name: sample.rate / 2 for name, sample in (await machine.contest(runs)).items()}
    locked = "SELECT FOR UPDATE behind a gRPC server"
    return [
        more(
            "one hot account, session, 64 callers",
            found["session hot 64"],
            _CYCLES,
            "Postgres alone by psycopg, 64 workers",
            found["psycopg hot 64"],
            8,
        ),
        more(
            "one hot account, session, 64 callers",
            found["session hot 64"],
            _CYCLES,
            locked,
            found["SELECT FOR UPDATE hot 64"],
            30,
        ),
        more(
            "one hot account, unary, 64 in flight",
            found["unary hot 64"],
            _CYCLES,
            locked,
            found["SELECT FOR UPDATE hot 64"],
            6,
        ),
    ]


async def _spread(machine: Machine) -> list[Figure]:
    """Measure many accounts, of many tenants and of one: a call of a script is of one tenant."""
    populations = (machine.spread, machine.large)
    runs: dict[str, Run] = {}
    for population in populations:
        # Else the first round would load what the others find.
        work = machine.work("session touches", population, callers=256, warm_up=0)
        await machine.measure(work.lasting(_SECONDS_MAX))
        runs[f"session {_name(population)} 64"] = _session(machine, population)
    size = machine.spread.size
    runs[f"psycopg {size:,} accounts 64"] = lambda: machine.measure(plain_work(machine, "wide"))
    *ours, theirs = (sample.rate / 2 for sample in (await machine.contest(runs)).values())
    return [
        more(
            f"{_name(population)}, session, 64 callers",
            rate,
            _CYCLES,
            "Postgres alone by psycopg, 64 workers",
            theirs,
            3,
        )
        for population, rate in zip(populations, ours, strict=True)
    ]


def _name(population: Population) -> str:
    tenants = "1 tenant" if population.tenants == 1 else f"{population.tenants} tenants"
    return f"{population.size:,} accounts of {tenants}"


def _session(machine: Machine, population: Population) -> Run:
    return lambda: machine.measure(machine.work("session cycles", population))


def plain_work(machine: Machine, which: str) -> Work:
    """Return the work of reserving and committing in Postgres alone."""
    population = {"hot": machine.hot, "wide": machine.spread}[which]
    return machine.work("plain cycles", population, database_url=machine.stores.plain_url)
