"""What waits for the same tenant travels together; nobody's trouble is another's."""

from __future__ import annotations

import asyncio

import pytest

from authority.domain.errors import Unavailable
from authority.usecases.gatherer import ITEMS_MAX, Gatherer
from support import eventually


class Store:
    """Answers each item with its double, once the gate is open."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.in_flight: list[str] = []
        self.most = 0
        self.gate = asyncio.Event()
        self.problem: Exception | None = None

    async def send(self, tenant, items):
        """Take a call."""
        self.calls.append((tenant, list(items)))
        self.in_flight.append(tenant)
        self.most = max(self.most, len(self.in_flight))
        assert self.in_flight.count(tenant) == 1, "two calls are in flight for one tenant"
        await self.gate.wait()
        self.in_flight.remove(tenant)
        if self.problem is not None:
            raise self.problem
        return [2 * item for item in items]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def gatherer(store):
    return Gatherer(store.send)


def ask(gatherer, items, tenant="acme"):
    """Ask for the answers of items at the same moment."""
    return [asyncio.create_task(gatherer.answer(tenant, item)) for item in items]


async def answers(tasks):
    """Return what each task ended with."""
    await asyncio.wait(tasks)
    return [task.exception() or task.result() for task in tasks]


async def test_one_alone_is_sent_at_once(gatherer, store):
    (task,) = ask(gatherer, [1])
    for _ in range(3):  # the task of the caller, that of the sender, and the call itself
        await asyncio.sleep(0)
    assert store.calls == [("acme", [1])]
    store.gate.set()
    assert await task == 2


async def test_what_comes_while_a_call_is_in_flight_goes_together_in_order(gatherer, store):
    first = ask(gatherer, [0])
    await eventually(lambda: store.calls)
    rest = ask(gatherer, range(1, 300))
    await asyncio.sleep(0)
    store.gate.set()
    assert await answers(first + rest) == [2 * item for item in range(300)]
    # Half of it goes, so that the other can be decided while this is journalled.
    assert [len(items) for _, items in store.calls] == [1, ITEMS_MAX, 85, 43, 32, 11]
    assert [item for _, items in store.calls for item in items] == list(range(300))


async def test_each_tenant_has_a_call_of_its_own_but_no_more_than_there_are_connections(store):
    gatherer = Gatherer(store.send, calls_max=3)
    tasks = [task for number in range(8) for task in ask(gatherer, [1, 2], f"tenant-{number}")]
    await eventually(lambda: len(store.calls) == 3)
    store.gate.set()
    assert await answers(tasks) == [2, 4] * 8
    assert [tenant for tenant, _ in store.calls] == [f"tenant-{number}" for number in range(8)]
    assert store.most == 3


async def test_who_is_cancelled_before_it_was_sent_is_left_out(gatherer, store):
    first = ask(gatherer, [0])
    await eventually(lambda: store.calls)
    rest = ask(gatherer, range(1, 256))
    await asyncio.sleep(0)
    rest[100].cancel()
    await asyncio.wait([rest[100]])
    store.gate.set()
    assert await answers(first + rest[:100] + rest[101:]) == [
        2 * item for item in range(256) if item != 101
    ]
    assert 101 not in [item for _, items in store.calls for item in items]


async def test_who_is_cancelled_after_that_touches_no_other(gatherer, store):
    tasks = ask(gatherer, range(3))
    await eventually(lambda: store.calls)
    tasks[1].cancel()
    store.gate.set()
    assert await answers([tasks[0], tasks[2]]) == [0, 4]
    assert tasks[1].cancelled()
    assert store.calls == [("acme", [0, 1, 2])]
    assert await answers(ask(gatherer, [7])) == [14]


async def test_when_all_of_a_call_are_cancelled_nothing_is_sent(gatherer, store):
    first = ask(gatherer, [0])
    await eventually(lambda: store.calls)
    rest = ask(gatherer, range(1, 5))
    await asyncio.sleep(0)
    for task in rest:
        task.cancel()
    store.gate.set()
    assert await answers(first) == [0]
    assert store.calls == [("acme", [0])]


async def test_a_lost_reply_is_told_to_each_and_nothing_is_sent_twice(gatherer, store):
    store.problem = Unavailable("The hot store does not answer.")
    store.gate.set()
    problems = await answers(ask(gatherer, range(5)))
    assert {str(problem) for problem in problems} == {"The hot store does not answer."}
    assert len({id(problem) for problem in problems}) == 5
    assert store.calls == [("acme", [0, 1, 2, 3, 4])]
    store.problem = None
    assert await answers(ask(gatherer, [1])) == [2]


async def test_who_waits_when_all_is_stopped_is_told(gatherer, store):
    first = ask(gatherer, [0])
    await eventually(lambda: store.calls)
    rest = ask(gatherer, [1])
    await asyncio.sleep(0)
    await gatherer.stop()
    for problem in await answers(first + rest):
        assert isinstance(problem, Unavailable)


async def test_who_came_just_before_all_is_stopped_is_told_too(gatherer, store):
    (task,) = ask(gatherer, [0])
    await asyncio.sleep(0)  # It waits; what would send it has not begun.
    await gatherer.stop()
    (problem,) = await answers([task])
    assert isinstance(problem, Unavailable)
    assert not store.calls
    store.gate.set()
    assert await answers(ask(gatherer, [1])) == [2]
