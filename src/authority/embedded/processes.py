"""Servers that an earlier owner left behind: how to find them and how to end them.

A process is known by its program and by the directory it works in, never by a pid alone: pids are
reused, and a copy of a data directory has pid files too. Postgres and Valkey work in their data
directory, and every process that Postgres forks does so as well.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

POLL_SECONDS = 0.01
_KILL_SECONDS_MAX = 10


async def find(programs: frozenset[str], directory: Path) -> list[psutil.Process]:
    """Return the running processes of these programs that work in a directory or below it."""
    return await asyncio.to_thread(_find, programs, directory)


async def end(
    found: list[psutil.Process], request: signal.Signals, seconds_max: float
) -> list[psutil.Process]:
    """Ask processes to end, kill those that have not after a while, and return what is left.

    Only the oldest ancestors are asked: a server ends its own children in order.
    """
    pids = {process.pid for process in found}
    for process in found:
        with suppress(psutil.Error):
            if process.ppid() not in pids:
                process.send_signal(request)
    alive = await _wait(found, seconds_max)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    return await _wait(alive, _KILL_SECONDS_MAX)


async def wait_until(condition: Callable[[], bool], seconds_max: float) -> bool:
    """Wait for a condition, and say whether it came true in time."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def _wait(processes: list[psutil.Process], seconds_max: float) -> list[psutil.Process]:
    await wait_until(lambda: not any(map(_lives, processes)), seconds_max)
    return [process for process in processes if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    # A zombie has ended; that nobody has asked for its exit code, as in some containers, is no
    # reason to wait for it.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _find(programs: frozenset[str], directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # Processes end while we look, and those of other users do not show their directory.
        with suppress(psutil.Error, OSError):
            if Path(process.exe()).name in programs and _works_in(process, directory):
                found.append(process)
    return found


def _works_in(process: psutil.Process, directory: Path) -> bool:
    return Path(process.cwd()).is_relative_to(directory)
