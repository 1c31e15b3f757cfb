"""Commits in parts, forced commits, extensions and adjustments."""

from __future__ import annotations

import pytest

from authorities import new_key
from authority.v1 import errors_pb2, resources_pb2
from refusals import invalid, refused

DAY = ("acme", "usd-day")


@pytest.fixture
async def acme(stubs):
    """An account that may spend 1000 micros a day."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    return stubs


async def hold(stubs, amount=400, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


async def day(stubs):
    assert await stubs.differences() == []
    return (await stubs.balance("acme"))[DAY]


def leg_of(answer):
    leg = answer.reservation.legs[0]
    return leg.held, leg.actual, leg.charged


class TestParts:
    async def test_partial_partial_final(self, acme):
        held = await hold(acme)
        assert leg_of(await acme.commit(held, {"USD": 100}, final=False)) == (300, 100, 100)
        assert await day(acme) == (300, 100, 0, 600)
        assert leg_of(await acme.commit(held, {"USD": 50}, final=False)) == (250, 150, 150)
        done = await acme.commit(held, {"USD": 30}, final=True)
        assert leg_of(done) == (0, 180, 180)
        assert done.reservation.state == resources_pb2.RESERVATION_STATE_COMMITTED
        assert await day(acme) == (0, 180, 0, 820)
        assert (await refused(acme.commit(held, {"USD": 1}))).reason == "ALREADY_COMMITTED"

    async def test_a_part_is_charged_once(self, acme):
        held, key = await hold(acme), new_key()
        for _ in range(3):
            await acme.commit(held, {"USD": 100}, final=False, key=key)
        assert await day(acme) == (300, 100, 0, 600)
        reused = await refused(acme.commit(held, {"USD": 100}, key=key))
        assert reused.metadata["fields"] == "final"

    async def test_parts_above_the_hold(self, acme):
        held = await hold(acme)
        await acme.commit(held, {"USD": 300}, final=False)
        assert leg_of(await acme.commit(held, {"USD": 800}, final=False)) == (0, 1_100, 1_000)
        assert await day(acme) == (0, 1_000, 0, 0)

    async def test_expiry_after_a_part_gives_back_the_rest(self, acme, core):
        held = await hold(acme, ttl=5)
        await acme.commit(held, {"USD": 100}, final=False)
        core.hot.clock.offset_ms += 6_000
        await core.sweeper.expire_due()
        assert await day(acme) == (0, 100, 0, 900)
        late = await acme.commit(held, {"USD": 300})
        assert (late.reservation.late, leg_of(late)) == (True, (0, 400, 400))
        await acme.refund(held, {"USD": 400})
        assert await day(acme) == (0, 400, 400, 1_000)

    async def test_a_release_after_a_part_leaves_the_charge(self, acme):
        held = await hold(acme)
        await acme.commit(held, {"USD": 100}, final=False)
        await acme.release(held)
        assert await day(acme) == (0, 100, 0, 900)
        await acme.refund(held, {"USD": 60})
        assert (await refused(acme.refund(held, {"USD": 41}))).metadata["refundable"] == "40"
        assert await day(acme) == (0, 100, 60, 960)

    async def test_a_refund_of_what_is_held_and_partly_charged_gives_back_both(self, acme):
        held = await hold(acme)
        await acme.commit(held, {"USD": 100}, final=False)
        await acme.refund(held)
        assert await day(acme) == (0, 100, 100, 1_000)


class TestForce:
    async def test_what_was_released_is_charged_if_forced(self, acme):
        held = await hold(acme)
        await acme.release(held)
        assert (await refused(acme.commit(held, {"USD": 100}))).reason == "RESERVATION_STATE"
        done = await acme.commit(held, {"USD": 100}, force=True, receipt="req_1")
        assert (done.reservation.late, done.reservation.receipt) == (True, "req_1")
        assert await day(acme) == (0, 100, 0, 900)
        assert (await refused(acme.commit(held, {"USD": 1}, force=True))).reason == (
            "ALREADY_COMMITTED"
        )


class TestExtend:
    async def test_time(self, acme, core):
        held = await hold(acme, ttl=10)
        before = (await acme.get(held)).expire_time
        await acme.extend(held, ttl=5)
        assert (await acme.get(held)).expire_time == before
        await acme.extend(held, ttl=60)
        core.hot.clock.offset_ms += 30_000
        await core.sweeper.expire_due()
        assert await day(acme) == (400, 0, 0, 600)
        core.hot.clock.offset_ms += 31_000
        await core.sweeper.expire_due()
        assert await day(acme) == (0, 0, 0, 1_000)
        assert (await refused(acme.extend(held, ttl=60))).metadata["state"] == "EXPIRED"

    async def test_what_has_expired_is_not_extended_though_nobody_sweeps(self, acme, core):
        async def nothing():
            pass

        core.sweeper.sweep = nothing
        held = await hold(acme, ttl=10)
        core.hot.clock.offset_ms += 11_000
        assert (await refused(acme.extend(held, ttl=60))).metadata["state"] == "EXPIRED"

    async def test_no_longer_than_its_life(self, acme, core):
        held = await hold(acme, ttl=86_400)
        for _ in range(7):
            core.hot.clock.offset_ms += 80_000_000
            await acme.extend(held, ttl=86_400)
        read = await acme.get(held)
        life = read.expire_time.ToMilliseconds() - read.create_time.ToMilliseconds()
        assert life == 7 * 86_400_000

    async def test_amount(self, acme):
        held, key = await hold(acme), new_key()
        for _ in range(2):
            more = await acme.extend(held, {"USD": 500}, key=key)
            assert more.reservation.legs[0].reserved == 900
        refusal = await refused(acme.extend(held, {"USD": 101}))
        assert refusal.detail(errors_pb2.Denial).limiting_budgets[0].short_by == 1
        assert await day(acme) == (900, 0, 0, 100)
        assert await invalid(acme.extend(held, {"IMAGES": 1})) == ["legs"]
        assert await invalid(acme.extend(held)) == ["ttl"]
        await acme.commit(held, {"USD": 900})
        assert await day(acme) == (0, 900, 0, 100)

    async def test_amount_of_grants(self, acme):
        await acme.grant("acme", "CREDITS", 10)
        held = (await acme.reserve("acme", {"CREDITS": 6})).reservation.reservation_id
        await acme.grant("acme", "CREDITS", 10)
        more = (await acme.extend(held, {"CREDITS": 9})).reservation
        assert [row.held for row in more.grants] == [10, 5]
        await refused(acme.extend(held, {"CREDITS": 6}))
        await acme.commit(held, {"CREDITS": 12})
        assert await acme.differences() == []

    async def test_what_expires_is_not_kept_back_by_a_replay(self, acme, core):
        held, key = await hold(acme, ttl=5), new_key()
        await acme.extend(held, ttl=10, key=key)
        core.hot.clock.offset_ms += 11_000
        await core.sweeper.expire_due()
        assert (await acme.extend(held, ttl=10, key=key)).replayed
        assert await day(acme) == (0, 0, 0, 1_000)


class TestAdjust:
    async def test_more_and_less(self, acme):
        key = new_key()
        for _ in range(2):
            await acme.adjust("acme", {"USD": 1_200}, key=key)
        assert await day(acme) == (0, 1_200, 0, -200)
        await refused(hold(acme, 1))
        await acme.adjust("acme", {"USD": -300})
        assert await day(acme) == (0, 1_200, 300, 100)
        await hold(acme, 100)

    async def test_it_takes_from_grants(self, acme):
        grant = await acme.grant("acme", "CREDITS", 10)
        await acme.adjust("acme", {"CREDITS": 4})
        assert (await acme.get_grant(grant.grant_id)).available == 6
        assert await acme.differences() == []

    async def test_what_is_wrong_is_named(self, acme):
        assert await invalid(acme.adjust("acme", {"USD": 0})) == ["legs"]
        assert await invalid(acme.adjust("acme", {"USD": 1}, reason="")) == ["reason"]
        assert await invalid(acme.adjust("acme", {})) == ["legs"]
        most = 2**53 - 1
        await acme.adjust("acme", {"USD": most})
        assert await invalid(acme.adjust("acme", {"USD": 1})) == ["legs"]
        assert (await refused(acme.adjust("acme/nobody", {"USD": 1}))).code == "NOT_FOUND"
