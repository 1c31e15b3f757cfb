"""Batches of 100, beside the script alone."""

from __future__ import annotations

from bench.loads.operations import BATCH
from bench.machine import Machine, Run
from bench.report import Figure, more
from bench.work import Work


async def measure(machine: Machine) -> list[Figure]:
    """Measure batches and pipelined script calls, both on one account."""
    templates = await machine.templates()
    runs: dict[str, Run] = {
        f"batches of {BATCH}": lambda: machine.measure(
            machine.work("batches", machine.hot, callers=4)
        ),
        "EVALSHA pipelined": lambda: machine.measure(pipeline_work(machine, templates)),
    }
    try:
        batches, scripts = (sample.rate for sample in (await machine.contest(runs)).values())
    finally:
        await machine.forget_templates()
    return [
        more(
            f"batch of {BATCH}, 4 in flight",
            batches,
            "items/s",
            "the scripts by pipelined EVALSHA, no gRPC, no Postgres",
            scripts,
            0.7,
        )
    ]


def pipeline_work(machine: Machine, templates: list[str]) -> Work:
    """Return the work of calling the scripts by four connections."""
    return machine.work("pipelines", callers=4, templates=tuple(templates))
