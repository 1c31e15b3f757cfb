"""The moment at which a hold expires, with a sweeper that is on, off, paused or stumbling."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import structlog

from authority.recovery.sweep import Sweeper
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2
from calls import send
from refusals import Refusal, refused
from support import eventually

DAY = ("acme", "usd-day")
LIMIT = 1_000
# Milliseconds from the expiry at which the commit is sent.
MOMENTS = (-3, -1, 0, 1, 3)
EXPIRED = resources_pb2.RESERVATION_STATE_EXPIRED


@pytest.fixture
async def acme(stubs, core, monkeypatch):
    """An account to spend from, in an authority that sweeps only when it is told to."""

    async def nothing():
        pass

    monkeypatch.setattr(core.sweeper, "sweep", nothing)
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    return stubs


async def hold(stubs, amount=400, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation


async def on(core, call):
    """Call while a sweep goes on."""
    async with asyncio.TaskGroup() as group:
        group.create_task(core.sweeper.expire_due())
        calling = group.create_task(call())
    return calling.result()


async def off(core, call):
    """Call without any sweep."""
    return await call()


async def paused(core, call):
    """Call while a sweep stands still between finding what is due and expiring it."""
    found, go_on = asyncio.Event(), asyncio.Event()
    ledger = core.sweeper._ledger

    class Slow:
        async def due_reservations(self, *arguments):
            due = await ledger.due_reservations(*arguments)
            found.set()
            await go_on.wait()
            return due

    core.sweeper._ledger = Slow()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(core.sweeper.expire_due())
            await found.wait()
            answer = await call()
            go_on.set()
        return answer
    finally:
        core.sweeper._ledger = ledger


async def go_to_expiry(core, held, moment):
    """Move the clock to some milliseconds from a reservation's expiry."""
    now_ms = await core.hot.time_ms() + core.hot.clock.offset_ms
    core.hot.clock.offset_ms += held.expire_time.ToMilliseconds() - now_ms + moment


@pytest.mark.parametrize("sweeper", [on, off, paused])
@pytest.mark.parametrize("part_before", [False, True], ids=["whole", "after a part"])
async def test_commit_and_sweeper_race_at_the_expiry(acme, core, sweeper, part_before):
    """Case 6: the cost is charged once and the rest is given back once, whoever comes first."""
    charged = 0
    for moment in MOMENTS:
        held = await hold(acme, 100, ttl=10)
        name = held.reservation_id
        if part_before:
            await acme.commit(name, {"USD": 20}, final=False)
        await go_to_expiry(core, held, moment)
        paid = (await sweeper(core, lambda name=name: acme.commit(name, {"USD": 50}))).reservation
        part = 20 if part_before else 0
        assert (paid.legs[0].held, paid.legs[0].charged) == (0, 50 + part)
        if moment >= 0:
            assert paid.late
        await core.sweeper.expire_due()
        assert (await acme.get(name)).state == resources_pb2.RESERVATION_STATE_COMMITTED
        charged += 50 + part
    assert (await acme.balance("acme"))[DAY] == (0, charged, 0, LIMIT - charged)
    assert await acme.differences() == []


@pytest.mark.parametrize("sweeper", [on, off, paused])
@pytest.mark.parametrize("verb", ["release", "refund", "extend"])
async def test_other_verbs_and_sweeper_race_at_the_expiry(acme, core, sweeper, verb):
    """Case 6: two units, one of them of a grant, are given back together and once."""
    grant = await acme.grant("acme", "CREDITS", 50)
    for moment in MOMENTS:
        answer = await acme.reserve("acme", {"USD": 100, "CREDITS": 10}, ttl=10)
        held, name = answer.reservation, answer.reservation.reservation_id
        await go_to_expiry(core, held, moment)
        extra = {"ttl": 60} if verb == "extend" else {}

        async def call(name=name, extra=extra):
            try:
                return (await getattr(acme, verb)(name, **extra)).reservation.state
            except grpc.aio.AioRpcError as error:
                assert Refusal.of(error).metadata["state"] == "EXPIRED"
                return EXPIRED

        state = await sweeper(core, call)

        async def settled(name=name, state=state):
            await core.sweeper.expire_due()
            return (await acme.get(name)).state == state

        # The sweeper's clock may be a moment behind that of the scripts.
        await eventually(settled)
        if state == resources_pb2.RESERVATION_STATE_HELD:
            await acme.release(name)
        assert (await acme.balance("acme"))[DAY] == (0, 0, 0, LIMIT)
        assert (await acme.get_grant(grant.grant_id)).available == 50
    assert await acme.differences() == []


@pytest.fixture
async def poisoned(acme, core):
    """A hold that is due, and whose hot row no script can read; and one that is due and sound."""
    broken, sound = await hold(acme, 300, ttl=5), await hold(acme, 200, ttl=6)
    await core.hot.redis.set(core.hot.keys("acme").reservation(broken.reservation_id), "broken")
    core.locator.forget(broken.reservation_id)
    core.hot.clock.offset_ms += 7_000
    return broken.reservation_id, sound.reservation_id


async def test_a_poison_row_is_set_aside_and_does_not_stop_the_sweeper(acme, core, poisoned):
    """Case 25."""
    broken, sound = poisoned
    with structlog.testing.capture_logs() as logs:
        assert await core.sweeper.expire_due() == 1
        # It is not tried again, and all else that a sweep does goes on.
        await Sweeper.sweep(core.sweeper)
    set_aside = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["reservation_id"] for entry in set_aside] == [broken]
    assert (await acme.get(sound)).state == EXPIRED
    (difference,) = await acme.differences()
    assert (difference.place, difference.found) == ("hot_state", "unreadable")
    # Made anew from the ledger, it expires as any other.
    await send(acme, admin.RebuildRequest(tenant="acme"))
    core.sweeper._set_aside_until.clear()
    assert await core.sweeper.expire_due() == 1
    assert (await acme.balance("acme"))[DAY] == (0, 0, 0, LIMIT)
    assert await acme.differences() == []


async def test_a_poison_row_in_the_way_of_a_reserve_denies_it_and_is_no_fault(acme, poisoned):
    """Case 25."""
    refusal = await refused(hold(acme, 701))
    assert (refusal.reason, refusal.metadata["denial_reason"]) == ("DENIED", "BUDGET_BUSY")
    await hold(acme, 700)
