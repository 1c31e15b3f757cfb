"""How long a caller waits: at half of the top throughput, and alone."""

from __future__ import annotations

from bench.figures.operations import no_op_work
from bench.machine import Machine, Run
from bench.report import Figure, less
from bench.samples import Sample
from bench.work import Work

_COMMITTERS = 16


async def measure(machine: Machine) -> list[Figure]:
    """Measure percentiles."""
    return [await _at_half(machine), *await _alone(machine)]


async def _at_half(machine: Machine) -> Figure:
    tops = {
        "session 64": machine.work("session cycles"),
        "no-op 64": no_op_work(machine),
        "commits 16": _commit_work(machine),
    }
    known = machine.notes.samples
    top = {
        name: known[name].rate if name in known else (await _run(machine, work)).rate
        for name, work in tops.items()
    }
    rate = max(top["session 64"] / 2, 1)
    # What can't be asked for that often is asked at half of its own top.
    commit_rate = min(rate, top["commits 16"] / 2)
    no_op_rate = min(rate, top["no-op 64"] / 2)
    runs: dict[str, Run] = {
        # A step is a cycle, of two operations.
        "session 64 at half": lambda: machine.measure(
            machine.work("session cycles", rate=rate / 2)
        ),
        "commits at that rate": lambda: _run(machine, _commit_work(machine, rate=commit_rate)),
        "no-op at that rate": lambda: _run(machine, no_op_work(machine, rate=no_op_rate)),
    }
    found = await machine.contest(runs)
    ours, *limits = (sample.percentile("p99") for sample in found.values())
    return less(
        f"p99, session, 64 callers, at {rate:,.0f} operations/s, half of the top",
        ours,
        "ms",
        f"p99 of a Postgres commit ({commit_rate:,.0f}/s) + of a no-op RPC ({no_op_rate:,.0f}/s)",
        sum(limits),
        0.5,
    )


async def _alone(machine: Machine) -> list[Figure]:
    templates = tuple(await machine.templates())
    runs: dict[str, Run] = {
        "session alone": lambda: machine.measure(machine.work("session cycles", callers=1)),
        "unary alone": lambda: machine.measure(machine.work("unary cycles", callers=1)),
        "no-op alone": lambda: _run(machine, no_op_work(machine, callers=1)),
        "EVALSHA alone": lambda: machine.measure(
            machine.work("scripts", callers=1, templates=templates)
        ),
        "fsync alone": lambda: machine.measure(
            machine.work("fsyncs", callers=1, folder=str(machine.stores.home))
        ),
    }
    try:
        found = await machine.contest(runs)
    finally:
        await machine.forget_templates()
    session, unary, *limits = (sample.percentile("p50") for sample in found.values())
    beside = "p50 of a no-op RPC + one EVALSHA + one fsync"
    return [
        less("one caller alone, session, p50", session, "ms", beside, sum(limits), 0.667),
        less("one caller alone, unary, p50", unary, "ms", beside, sum(limits)),
    ]


def _commit_work(machine: Machine, rate: float = 0) -> Work:
    return machine.work(
        "commits", callers=_COMMITTERS, rate=rate, database_url=machine.stores.plain_url
    )


async def _run(machine: Machine, work: Work) -> Sample:
    if work.kind == "nothing":
        return await machine.measure(work, server=[machine.server.pid], name="server")
    return await machine.measure(work)
