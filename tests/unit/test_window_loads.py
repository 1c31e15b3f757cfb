"""What is missed of windows at the same moment is read once, and loaded once for each tenant."""

from __future__ import annotations

import asyncio

import pytest

from authority.domain.budgets import WindowRef
from authority.domain.errors import Unavailable
from authority.domain.leases import Lease
from authority.domain.money import Unit
from authority.domain.ports import WindowCounts
from authority.usecases.window_loads import WindowLoads
from support import eventually

ONE, TWO, THREE = (WindowRef(key, 0, Unit.USD) for key in (1, 2, 3))


class Stores:
    """The ledger, its leases and the hot store: notes what is read and loaded."""

    def __init__(self) -> None:
        self.reads = []
        self.loads = []
        self.problem = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def window_counts(self, refs):
        """Count each window by its key."""
        self.reads.append(sorted(refs))
        await self.gate.wait()
        if self.problem:
            raise self.problem
        return {ref: WindowCounts(ref.budget_key, 0, 0) for ref in refs}

    async def leases(self, refs):
        """Lease each window its key."""
        self.reads.append(("leases", sorted(refs)))
        return {ref: Lease(ref.budget_key, 1) for ref in refs}

    async def load(self, tenant, reservation, counts, epoch, leases):
        """Take a load."""
        assert reservation is None
        amounts = {ref: lease.amount for ref, lease in leases.items()}
        self.loads.append((tenant, sorted(counts.items()), epoch, amounts))


@pytest.fixture
def stores():
    return Stores()


@pytest.fixture
def loads(stores):
    return WindowLoads(stores, stores, stores)


def counted(*refs):
    return [(ref, WindowCounts(ref.budget_key, 0, 0)) for ref in refs]


async def at_once(*missed):
    """Load at the same moment; return what each has raised, or None."""
    tasks = list(map(asyncio.create_task, missed))
    await asyncio.wait(tasks)
    return [task.exception() for task in tasks]


async def test_what_is_missed_at_the_same_moment_travels_together(loads, stores):
    await at_once(
        loads.load("acme", [ONE, TWO], 7),
        loads.load("acme", [TWO, THREE], 7),
        loads.load("other", [THREE], 7),
    )
    assert stores.reads == [[ONE, TWO, THREE]]
    assert sorted(stores.loads) == [
        ("acme", counted(ONE, TWO, THREE), 7, {}),
        ("other", counted(THREE), 7, {}),
    ]


async def test_each_tenant_gets_its_own_windows_and_leases_alone(loads, stores):
    await at_once(
        loads.load("acme", [ONE, TWO], 7, [TWO]), loads.load("other", [THREE], 7, [THREE])
    )
    assert stores.reads == [[ONE, TWO, THREE], ("leases", [TWO, THREE])]
    assert sorted(stores.loads) == [
        ("acme", counted(ONE, TWO), 7, {TWO: 2}),
        ("other", counted(THREE), 7, {THREE: 3}),
    ]


async def test_what_was_missed_in_an_older_epoch_goes_with_the_newer(loads, stores):
    await at_once(loads.load("acme", [ONE], 7), loads.load("acme", [TWO], 8))
    assert stores.loads == [("acme", counted(ONE, TWO), 8, {})]


async def test_each_tenant_loads_in_the_epoch_that_it_missed_in(loads, stores):
    await at_once(loads.load("acme", [ONE], 7), loads.load("other", [TWO], 8))
    assert stores.reads == [[ONE, TWO]]
    assert sorted(stores.loads) == [("acme", counted(ONE), 7, {}), ("other", counted(TWO), 8, {})]


async def test_many_who_miss_the_same_load_it_once(loads, stores):
    await at_once(*(loads.load("acme", [ONE], 7) for _ in range(512)))
    assert stores.reads == [[ONE]]
    assert stores.loads == [("acme", counted(ONE), 7, {})]


async def test_what_is_missed_during_a_read_is_read_after_it(loads, stores):
    """The read under way may not see what was decided until the second has missed it."""
    stores.gate.clear()
    first = asyncio.create_task(loads.load("acme", [ONE], 7))
    await eventually(lambda: stores.reads)
    second = asyncio.create_task(loads.load("other", [ONE], 7))
    first.cancel()  # What it has begun goes on.
    await asyncio.sleep(0)
    stores.gate.set()
    await second
    assert stores.reads == [[ONE], [ONE]]
    assert stores.loads == [("acme", counted(ONE), 7, {}), ("other", counted(ONE), 7, {})]


async def test_a_ledger_that_is_away_is_told_to_each(loads, stores):
    stores.problem = Unavailable("The ledger does not answer.")
    missed = [loads.load("acme", [ONE], 7), loads.load("other", [TWO], 7)]
    assert [str(problem) for problem in await at_once(*missed)] == [
        "The ledger does not answer."
    ] * 2
    assert not stores.loads
    stores.problem = None
    await loads.load("acme", [ONE], 7)
    assert stores.loads == [("acme", counted(ONE), 7, {})]


async def test_who_waits_when_all_is_stopped_is_told(loads, stores):
    stores.gate.clear()
    waiting = asyncio.create_task(loads.load("acme", [ONE], 7))
    await eventually(lambda: stores.reads)
    await loads.stop()
    with pytest.raises(Unavailable):
        await waiting
