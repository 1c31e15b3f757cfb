"""Work that is shared: done once, by nobody who leaves, and ended with its owner."""

from __future__ import annotations

import asyncio

import pytest

from authority.usecases.single_flight import SingleFlight


async def settled():
    """Let everything run that can."""
    for _ in range(3):
        await asyncio.sleep(0)


class Work:
    """Something that takes until it is told to go on."""

    def __init__(self):
        self.times = 0
        self.go_on = asyncio.Event()

    async def __call__(self):
        self.times += 1
        await self.go_on.wait()
        return self.times


async def test_who_comes_at_the_same_moment_shares_the_work():
    flight, work = SingleFlight(), Work()
    callers = [asyncio.ensure_future(flight.do("key", work)) for _ in range(3)]
    await settled()
    callers[0].cancel()
    work.go_on.set()
    assert [await caller for caller in callers[1:]] == [1, 1]
    assert await flight.do("key", work) == 2


async def test_what_is_forgotten_is_begun_anew():
    flight, work = SingleFlight(), Work()
    first = asyncio.ensure_future(flight.do("key", work))
    await settled()
    flight.forget("key")
    second = asyncio.ensure_future(flight.do("key", work))
    await settled()
    assert work.times == 2
    work.go_on.set()
    await asyncio.wait([first, second])


async def test_a_stop_ends_all_also_what_was_forgotten():
    flight, work = SingleFlight(), Work()
    callers = []
    for _ in range(2):
        callers.append(asyncio.ensure_future(flight.do("key", work)))
        await settled()
        flight.forget("key")
    await settled()
    await asyncio.wait_for(flight.stop(), 1)
    for caller in callers:
        with pytest.raises(asyncio.CancelledError):
            await caller
    await flight.stop()
