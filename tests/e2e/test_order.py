"""The ledger has what was decided without a gap: what stands on a lost decision is lost too."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from authorities import new_key
from refusals import refused

ALL = ("acme", "usd-total")


class Gate:
    """Keeps the journal of an authority from writing until it is opened."""

    def __init__(self, monkeypatch, core) -> None:
        self.waiting = asyncio.Event()
        self.opened = asyncio.Event()
        self._write = core.journal._write_all
        monkeypatch.setattr(core.journal, "_write_all", self._later)

    async def _later(self, batch):
        self.waiting.set()
        await self.opened.wait()
        await self._write(batch)


@pytest.fixture
async def pair(start_authority):
    """Two authorities on the same stores, and a hold of all that there is."""
    (slow, first), (fast, second) = await start_authority(), await start_authority()
    for running in (slow, fast):
        running.core.sweeper.drain = _nothing
    await first.account("acme")
    await first.set_budget("acme", 100, window="TOTAL")
    held = (await first.reserve("acme", {"USD": 100})).reservation.reservation_id
    await second.balance("acme")
    return slow, first, fast, second, held


@pytest.fixture
def gate(pair, monkeypatch):
    """A function that keeps an authority's journal closed until the gate is opened."""
    gates = []

    def close(running):
        gates.append(Gate(monkeypatch, running.core))
        return gates[-1]

    yield close
    for each in gates:
        each.opened.set()  # also where the test has failed: the authority must be able to end


async def _nothing():
    return 0


async def test_what_another_has_decided_before_is_written_with_it(pair, gate):
    slow, first, _, second, held = pair
    closed = gate(slow)
    releasing = asyncio.create_task(first.release(held))
    await closed.waiting.wait()
    later = await asyncio.wait_for(second.reserve("acme", {"USD": 100}), 10)
    # Its ground is in the ledger, though nobody was told of it yet.
    assert (await slow.core.ledger.reservation(held)).state == "RELEASED"
    closed.opened.set()
    await releasing
    await first.commit(later.reservation.reservation_id, {"USD": 100})
    assert (await first.balance("acme"))[ALL] == (0, 100, 0, 0)
    assert await first.differences() == []


async def test_what_stands_on_a_lost_decision_is_not_done(pair, gate, redis_url):
    slow, first, fast, second, held = pair
    gates = [gate(slow), gate(fast)]
    release_key, reserve_key = new_key(), new_key()
    releasing = asyncio.create_task(refused(first.release(held, key=release_key)))
    await gates[0].waiting.wait()
    reserving = asyncio.create_task(refused(second.reserve("acme", {"USD": 100}, key=reserve_key)))
    await gates[1].waiting.wait()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    # The Release is lost; what was reserved of what it gave back must not be acknowledged.
    gates[1].opened.set()
    assert (await reserving).code == "UNAVAILABLE"
    denial = await refused(second.reserve("acme", {"USD": 100}, key=reserve_key))
    assert denial.reason == "DENIED"
    gates[0].opened.set()
    assert (await releasing).code == "UNAVAILABLE"
    await first.release(held, key=release_key)
    await second.reserve("acme", {"USD": 100})
    assert (await first.balance("acme"))[ALL] == (100, 0, 0, 0)
    assert await first.differences() == []


async def test_a_decision_that_was_superseded_is_dropped_from_an_old_outbox(pair, gate, redis_url):
    """It lay in a copy of the hot store that was made before the epoch in which it was lost."""
    slow, first, _, second, held = pair
    closed = gate(slow)
    releasing = asyncio.create_task(refused(first.release(held)))
    await closed.waiting.wait()
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        (name,) = [key async for key in redis.scan_iter("*outbox*")]
        copy = await redis.xrange(name)
        await redis.flushdb()
        await second.commit(held, {"USD": 60})
        closed.opened.set()
        assert (await releasing).code == "UNAVAILABLE"
        await redis.flushdb()
        for entry, fields in copy:
            await redis.xadd(name, fields, entry)
    await second.reserve("acme", {"USD": 40})
    assert (await first.balance("acme"))[ALL] == (40, 60, 0, 0)
    assert await first.differences() == []


async def test_what_an_older_epoch_decided_is_not_done(pair, gate, redis_url):
    """The tenant serves in the new one, and nothing has taken its place yet."""
    slow, first, _, second, held = pair
    closed = gate(slow)
    releasing = asyncio.create_task(refused(first.release(held)))
    await closed.waiting.wait()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    assert (await second.balance("acme"))[ALL] == (100, 0, 0, 0)
    closed.opened.set()
    assert (await releasing).code == "UNAVAILABLE"
    await second.commit(held, {"USD": 100})
    assert (await first.balance("acme"))[ALL] == (0, 100, 0, 0)
    assert await first.differences() == []
