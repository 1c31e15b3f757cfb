"""Minutes of twice the load of the top: what the authority holds at the end, and held at first."""

from __future__ import annotations

import asyncio

import psutil

from bench.machine import Machine
from bench.report import Figure, less

# One process of so many callers is the top already, as `overload` shows.
_CALLERS = 512
_PROCESSES = 2
_POLL_SECONDS = 0.25
# The first of ten minutes, and the last. What is remembered up to a bound is full by then.
_PART = 0.1
# At the end no more than a tenth above.
_AT_LEAST = 1 / 1.1
_MEBIBYTE = 2**20


async def measure(machine: Machine) -> list[Figure]:
    """Measure the resident memory of the authority."""
    seconds = machine.scale.minutes * 60
    work = machine.work("session cycles", callers=_CALLERS).lasting(seconds)
    watching = asyncio.create_task(_watch(machine.authority.pid))
    try:
        sample = await machine.measure(*[work] * _PROCESSES)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    held = watching.result()
    machine.notes.samples["session 2 x 512, endurance"] = sample
    part = max(round(len(held) * _PART), 1)
    return [
        less(
            f"authority's memory, last tenth of {machine.scale.minutes:g} minutes at twice the top "
            f"load ({sample.rate * seconds:,.0f} operations)",
            max(held[-part:]),
            "MiB",
            "its first tenth",
            max(held[:part]),
            _AT_LEAST,
        )
    ]


async def _watch(pid: int) -> list[float]:
    """Return the resident memory of a process in MiB, from time to time until cancelled."""
    process, held = psutil.Process(pid), list[float]()
    try:
        while True:
            held.append(process.memory_info().rss / _MEBIBYTE)
            await asyncio.sleep(_POLL_SECONDS)
    except asyncio.CancelledError:
        return held
