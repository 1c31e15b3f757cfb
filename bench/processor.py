"""Processor time by process: under other people's load it moves far less than rates do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

Group = Mapping[str, Sequence[int]]
"""Names of parts, such as `authority`, and the ids of their processes; their children count too."""


def spent(groups: Group) -> dict[str, float]:
    """Return the processor seconds that each part has spent, and the whole machine."""
    seconds = {name: sum(map(_seconds, pids)) for name, pids in groups.items()}
    machine = psutil.cpu_times()
    # Time that the hypervisor took is time that nobody here had.
    busy = machine.user + machine.system + machine.nice
    return seconds | {"machine": busy}


def _seconds(pid: int) -> float:
    """Return what a process and its children, living and ended, have spent."""
    process = psutil.Process(pid)
    while True:
        children = process.children(recursive=True)
        with suppress(psutil.NoSuchProcess):
            total = sum(sum(child.cpu_times()[:2]) for child in children)
            # What a child had spent is its parent's once it has ended: one that ends meanwhile, as
            # many do where connections are closed, would count twice or not at all.
            total += sum(process.cpu_times()[:4])
            if process.children(recursive=True) == children:
                return total
