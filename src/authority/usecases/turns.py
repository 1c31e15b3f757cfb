"""Long work on the loop of the calls that hold money: a little at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

# What is taken of the loop at a time, and what is left to others before the next.
_TURN_SECONDS = 0.002
_PAUSE_SECONDS = 0.001


async def in_turns(steps: Iterable[object]) -> None:
    """Take steps for some milliseconds at a time, and let calls be answered in between.

    A thread would not do: it would take a turn of 5 ms whenever a call waits for the network.
    """
    begun = perf_counter()
    for _ in steps:
        if perf_counter() - begun > _TURN_SECONDS:
            await asyncio.sleep(_PAUSE_SECONDS)
            begun = perf_counter()
