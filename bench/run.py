"""The order in which figures are measured, on servers that all of them share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from bench.figures import (
    accounts,
    batches,
    cache,
    curves,
    endurance,
    generations,
    growth,
    latency,
    memory,
    operations,
    overload,
    peers,
    processes,
    usage,
)
from bench.machine import Machine, Notes, Scale, open_machine
from bench.report import Figure

Measure = Callable[[Machine], Awaitable[list[Figure]]]

FIGURES: Mapping[str, Measure] = {
    "operations": operations.measure,
    "accounts": accounts.measure,
    "batches": batches.measure,
    "latency": latency.measure,
    "processes": processes.measure,
    "generations": generations.measure,
    "cache": cache.measure,
    "usage": usage.measure,
    "overload": overload.measure,
    "endurance": endurance.measure,
    "peers": peers.measure,
    "curves": curves.measure,
    "memory": memory.measure,
    "growth": growth.measure,
}
_BUSY_ELSEWHERE = 0.1
FULL_ONLY = frozenset({"memory", "growth", "overload", "endurance", "cache", "usage"})


async def run(
    home: Path, scale: Scale, only: Sequence[str] | None, tell: Callable[[str], None]
) -> tuple[list[Figure], Notes]:
    """Start everything in a directory, measure, and stop it."""
    notes = Notes(tell)
    async with AsyncExitStack() as stack:
        machine = await open_machine(stack, home, scale, notes)
        figures: list[Figure] = []
        for name, measure in FIGURES.items():
            if name in only if only else scale.is_full or name not in FULL_ONLY:
                try:
                    figures += await measure(machine)
                except Exception as error:  # noqa: BLE001 - the other groups are worth having
                    notes.problem(f"{name} could not be measured: {error!r}")
        report = await machine.audit()
    text = (
        f"Audit of the hot account's tenant: {report.operation_count:,} operations, "
        f"{len(report.differences)} differences."
    )
    if report.balanced:
        notes.remark(text)
    else:
        notes.problem(text)
    busy = median([sample.elsewhere for sample in notes.samples.values()] or [0])
    if busy > _BUSY_ELSEWHERE:
        notes.remark(f"The machine was {busy:.0%} busy with other things: rates say little.")
    return figures, notes
