"""The order in which figures are measured, on servers that all of them share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.figures import accounts, batches, curves, latency, operations, peers, processes
from bench.machine import Machine, Notes, Scale
from bench.report import Figure
from bench.servers import running_stores

Measure = Callable[[Machine], Awaitable[list[Figure]]]

FIGURES: Mapping[str, Measure] = {
    "operations": operations.measure,
    "accounts": accounts.measure,
    "batches": batches.measure,
    "latency": latency.measure,
    "processes": processes.measure,
    "peers": peers.measure,
    "curves": curves.measure,
}


async def run(
    home: Path, scale: Scale, only: Sequence[str] | None, tell: Callable[[str], None]
) -> tuple[list[Figure], Notes]:
    """Start everything in a directory, measure, and stop it."""
    notes = Notes(tell)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(running_stores(home))
        machine = Machine(stack, stores, scale, notes)
        await machine.start()
        figures: list[Figure] = []
        for name, measure in FIGURES.items():
            if only is None or name in only:
                figures += await measure(machine)
    return figures, notes
