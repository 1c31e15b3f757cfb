"""Places for operations: bounded, in turn by tenant, and never lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from authority.domain.errors import Unavailable
from authority.rpc.intake import Bursts, Intake
from support import eventually


async def settled():
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Load:
    """Operations that stay under way until they are told to end."""

    def __init__(self, intake):
        self.intake = intake
        self.began = []

    def start(self, tenant):
        end = asyncio.Event()
        return asyncio.ensure_future(self._work(tenant, end)), end

    async def _work(self, tenant, end):
        await self.intake.enter(tenant)
        try:
            self.began.append(tenant)
            await end.wait()
        finally:
            self.intake.leave(tenant)


async def test_no_more_begin_than_there_are_places():
    load = Load(Intake(at_once_max=2))
    tasks = [load.start("acme") for _ in range(5)]
    await settled()
    for begun in range(2, 6):
        assert len(load.began) == begun
        tasks[begun - 2][1].set()
        await settled()
    for _, end in tasks:
        end.set()
    await asyncio.wait([task for task, _ in tasks])


async def test_tenants_take_turns_however_long_their_lines_are():
    load = Load(Intake(at_once_max=1))
    tasks = [load.start(tenant) for tenant in ("flood",) * 5 + ("acme", "beta", "acme")]
    await settled()
    for _, end in tasks:
        end.set()
    await asyncio.wait([task for task, _ in tasks])
    assert load.began == ["flood", "flood", "acme", "beta", "flood", "acme", "flood", "flood"]


async def test_a_tenant_beside_others_has_its_share_and_one_alone_has_all():
    load = Load(Intake(at_once_max=8, share_max=2))
    alone = [load.start("flood") for _ in range(6)]
    await settled()
    assert load.began == ["flood"] * 6
    beside = [load.start("acme"), *(load.start("flood") for _ in range(4))]
    await settled()
    for _, end in alone:
        end.set()
    await asyncio.wait([task for task, _ in alone])
    await settled()
    # Five are free, and not for the one that floods.
    assert load.began == ["flood"] * 6 + ["acme"] + ["flood"] * 2
    for _, end in beside:
        end.set()
    await asyncio.wait([task for task, _ in beside])
    assert load.began.count("flood") == 10


async def test_what_finds_the_lines_full_is_refused_and_may_come_again():
    intake = Intake(at_once_max=1, waiting_max=2)
    load = Load(intake)
    tasks = [load.start("acme") for _ in range(3)]
    await settled()
    with pytest.raises(Unavailable):
        await intake.enter("beta")
    for _, end in tasks:
        end.set()
    await asyncio.wait([task for task, _ in tasks])
    await intake.enter("beta")


@pytest.mark.parametrize("late", [False, True], ids=["in line", "as its turn comes"])
async def test_a_place_is_not_lost_with_a_caller_that_leaves(late):
    intake = Intake(at_once_max=1)
    await intake.enter("acme")
    waiting = asyncio.ensure_future(intake.enter("acme"))
    behind = asyncio.ensure_future(intake.enter("beta"))
    await settled()
    if late:
        intake.leave("acme")
        waiting.cancel()
    else:
        waiting.cancel()
        await settled()
        intake.leave("acme")
    with suppress(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(behind, 1)


async def test_a_few_calls_do_not_wait_and_many_begin_together():
    bursts, all_began = Bursts(), asyncio.Barrier(20)

    async def call():
        async with bursts:
            await all_began.wait()

    tasks = [asyncio.ensure_future(call()) for _ in range(20)]
    await settled()
    assert all_began.n_waiting == 4
    await asyncio.wait_for(asyncio.wait(tasks), 1)


async def test_what_comes_while_a_burst_is_under_way_waits_for_its_end():
    bursts, began, ends = Bursts(), [], [asyncio.Event() for _ in range(3)]

    async def call(burst):
        async with bursts:
            began.append(burst)
            await ends[burst].wait()

    async def calls(burst):
        tasks = [asyncio.ensure_future(call(burst)) for _ in range(10)]
        await settled()
        return tasks

    first = await calls(0)
    await eventually(lambda: began.count(0) == 10)
    ends[0].set()
    await asyncio.wait(first)
    second = await calls(1)
    assert began.count(1) == 0  # though nothing is under way: others may be about to come
    await eventually(lambda: began.count(1) == 10)
    third = await calls(2)
    ends[2].set()
    # The second is never over, and holds up nobody for ever.
    await asyncio.wait_for(asyncio.wait(third), 1)
    ends[1].set()
    await asyncio.wait(second)


async def test_a_caller_that_leaves_before_its_burst_is_not_counted():
    bursts = Bursts()
    for _ in range(3):
        tasks = [asyncio.ensure_future(bursts.__aenter__()) for _ in range(20)]
        await settled()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                await bursts.__aexit__(None, None, None)
    await asyncio.wait_for(bursts.__aenter__(), 1)
    assert (bursts._under_way, bursts._waiting) == (1, 0)


async def test_a_caller_that_leaves_as_its_burst_begins_is_counted_as_over():
    bursts = Bursts()
    for _ in range(4):
        await bursts.__aenter__()
    waiting = asyncio.ensure_future(bursts.__aenter__())
    await settled()
    bursts._open()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (bursts._under_way, bursts._waiting) == (4, 0)
