"""Throughput and waiting times by the number of callers: for the plots."""

from __future__ import annotations

from bench.figures.operations import no_op_work
from bench.machine import Machine
from bench.report import Figure
from bench.samples import Sample

CALLERS = (1, 8, 64, 256)
WAYS = ("session", "unary", "no-op")


async def measure(machine: Machine) -> list[Figure]:
    """Measure each number of callers once, but for those that are known already."""
    for way in WAYS:
        curve = machine.notes.curves[way] = []
        for callers in CALLERS:
            name = f"{way} {callers}"
            sample = machine.notes.samples.get(name)
            if sample is None:
                sample = await _measure(machine, way, callers)
                machine.notes.samples[name] = sample
            curve.append((callers, sample))
    return []


async def _measure(machine: Machine, way: str, callers: int) -> Sample:
    if way == "no-op":
        work = no_op_work(machine, callers=callers)
        return await machine.measure(work, server=[machine.server.pid], name="server")
    return await machine.measure(machine.work(f"{way} cycles", callers=callers))
