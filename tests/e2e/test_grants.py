"""Grants: what is spent of which, what comes back to which, and when they end."""

from __future__ import annotations

import pytest

from authorities import new_key
from authority.v1 import errors_pb2, resources_pb2
from refusals import invalid, refused


@pytest.fixture
async def acme(stubs):
    """An account that spends credits that it was granted."""
    await stubs.account("acme")
    return stubs


@pytest.fixture
def clock(core):
    """The clock, to be moved."""

    class Clock:
        def now(self):
            return core.hot.clock.now_ms() / 1000

        def go(self, seconds):
            core.hot.clock.offset_ms += int(seconds * 1000)

    return Clock()


async def numbers(stubs, grant):
    """Return (reserved, committed, refunded, available, expired)."""
    read = await stubs.get_grant(grant.grant_id)
    return (read.reserved, read.committed, read.refunded, read.available, read.expired)


async def hold(stubs, amount, account="acme", **options):
    return (await stubs.reserve(account, {"CREDITS": amount}, **options)).reservation


def receipts(reservation):
    return [(row.grant_id, row.reserved, row.held, row.charged) for row in reservation.grants]


async def test_a_leg_is_covered_by_grants_or_denied(acme):
    grant = await acme.grant("acme", "CREDITS", 100, source="purchase")
    assert (grant.state, grant.available) == (resources_pb2.GRANT_STATE_ACTIVE, 100)
    held = await hold(acme, 60)
    assert receipts(held) == [(grant.grant_id, 60, 60, 0)]
    refusal = await refused(hold(acme, 41))
    denial = refusal.detail(errors_pb2.Denial)
    assert denial.reason == errors_pb2.DENIAL_REASON_INSUFFICIENT_GRANTS
    (shortage,) = denial.grant_shortages
    assert (shortage.requested, shortage.available, shortage.reserved) == (41, 40, 60)
    assert shortage.short_by == 1
    paid = (await acme.commit(held.reservation_id, {"CREDITS": 50})).reservation
    assert receipts(paid) == [(grant.grant_id, 60, 0, 50)]
    assert await numbers(acme, grant) == (0, 50, 0, 50, 0)
    assert await acme.differences() == []


async def test_they_are_spent_by_priority_then_expiry_then_age(acme, clock):
    day = 86_400
    late = await acme.grant("acme", "CREDITS", 10, expire_time=clock.now() + 3 * day)
    forever = await acme.grant("acme", "CREDITS", 10)
    soon = await acme.grant("acme", "CREDITS", 10, expire_time=clock.now() + day)
    first = await acme.grant("acme", "CREDITS", 10, priority=0)
    last = await acme.grant("acme", "CREDITS", 10, priority=9)
    held = await hold(acme, 45)
    order = [row.grant_id for row in held.grants]
    assert order == [grant.grant_id for grant in (soon, late, forever, first, last)]
    paid = (await acme.commit(held.reservation_id, {"CREDITS": 25})).reservation
    assert [row.charged for row in paid.grants] == [10, 10, 5, 0, 0]
    back = (await acme.refund(held.reservation_id, {"CREDITS": 8})).reservation
    assert [row.refunded for row in back.grants] == [0, 3, 5, 0, 0]
    assert await acme.differences() == []


async def test_three_free_images_a_day_then_paid_credits(acme, clock):
    await acme.account("acme/tokyo", time_zone="Asia/Tokyo")
    await acme.grant("acme/tokyo", "IMAGES", 3, every="DAY", source="free")
    await acme.grant("acme/tokyo", "CREDITS", 100)
    midnight = 1_800_025_200  # 2027-01-16 00:00 in Tokyo
    clock.go(midnight - 5 - clock.now())

    async def image():
        answer = await acme.reserve("acme/tokyo", {"IMAGES": 1}, {"CREDITS": 40})
        await acme.commit(
            answer.reservation.reservation_id,
            {"IMAGES": 1} if answer.reservation.option_index == 0 else {"CREDITS": 40},
        )
        return answer.reservation.option_index

    assert [await image() for _ in range(5)] == [0, 0, 0, 1, 1]
    await refused(acme.reserve("acme/tokyo", {"IMAGES": 1}, {"CREDITS": 40}))
    clock.go(5)
    assert [await image() for _ in range(3)] == [0, 0, 0]
    await refused(acme.reserve("acme/tokyo", {"IMAGES": 1}, {"CREDITS": 40}))
    assert await acme.differences() == []


async def test_a_grant_that_expires_while_it_is_held(acme, clock):
    grant = await acme.grant("acme", "CREDITS", 10, expire_time=clock.now() + 60)
    held = await hold(acme, 6)
    clock.go(61)
    assert await numbers(acme, grant) == (6, 0, 0, 0, 4)
    await refused(hold(acme, 1))
    await acme.release(held.reservation_id)
    # What comes back is expired, and not available.
    assert await numbers(acme, grant) == (0, 0, 0, 0, 10)
    assert (await acme.get_grant(grant.grant_id)).state == resources_pb2.GRANT_STATE_EXPIRED
    assert await acme.differences() == []


async def test_what_is_held_of_an_expired_grant_can_be_committed(acme, clock):
    grant = await acme.grant("acme", "CREDITS", 10, expire_time=clock.now() + 60)
    held = await hold(acme, 6)
    clock.go(61)
    paid = (await acme.commit(held.reservation_id, {"CREDITS": 6})).reservation
    assert paid.legs[0].charged == 6
    assert await numbers(acme, grant) == (0, 6, 0, 0, 4)


async def test_a_refund_after_expiry_is_forfeited_or_restored(acme, clock):
    for grace, spendable in ((0, 0), (3_600, 5)):
        expire_time = clock.now() + 60
        await acme.grant("acme", "CREDITS", 10, expire_time=expire_time, refund_grace=grace)
        held = await hold(acme, 5)
        await acme.commit(held.reservation_id, {"CREDITS": 5})
        clock.go(61)
        key = new_key()
        for _ in range(2):
            await acme.refund(held.reservation_id, key=key)
        if spendable:
            await acme.release((await hold(acme, spendable)).reservation_id)
        await refused(hold(acme, spendable + 1))
        clock.go(3_600)
        await refused(hold(acme, 1))
    assert await acme.differences() == []


async def test_a_refund_makes_a_spent_grant_spendable_again(acme):
    await acme.grant("acme", "CREDITS", 10)
    held = await hold(acme, 10)
    await acme.commit(held.reservation_id, {"CREDITS": 10})
    await acme.grant("acme", "CREDITS", 1)  # the policy is read anew, without what is spent
    await refused(hold(acme, 2))
    await acme.refund(held.reservation_id)
    await hold(acme, 11)
    assert await acme.differences() == []


async def test_what_nobody_has_is_owed_by_a_spent_grant_whoever_read_the_policy_when(acme, core):
    first = await acme.grant("acme", "CREDITS", 5)
    last = await acme.grant("acme", "CREDITS", 10, priority=1)
    await acme.commit((await hold(acme, 15)).reservation_id, {"CREDITS": 15})
    core.context.policies.forget("acme")
    await acme.adjust("acme", {"CREDITS": 11})
    assert await numbers(acme, first) == (0, 5, 0, 0, 0)
    assert await numbers(acme, last) == (0, 21, 0, -11, 0)
    # It has to be levelled before anything else is spent.
    await acme.grant("acme", "CREDITS", 12)
    await refused(hold(acme, 2))
    await hold(acme, 1)
    assert await acme.differences() == []


async def test_a_top_up_that_is_repeated_grants_once(acme):
    key = new_key()
    first = await acme.grant("acme", "CREDITS", 100, key=key)
    again = await acme.grant("acme", "CREDITS", 100, key=key)
    assert first == again
    reused = await refused(acme.grant("acme", "CREDITS", 101, key=key))
    assert (reused.reason, reused.metadata["fields"]) == ("IDEMPOTENCY_KEY_REUSED", "amount")
    await refused(hold(acme, 101))
    await hold(acme, 100)


async def test_a_voided_grant_can_not_be_spent(acme):
    grant = await acme.grant("acme", "CREDITS", 100)
    held = await hold(acme, 30)
    key = new_key()
    for _ in range(2):
        voided = await acme.void_grant(grant.grant_id, key=key)
        assert voided.state == resources_pb2.GRANT_STATE_VOIDED
    await refused(hold(acme, 1))
    await acme.commit(held.reservation_id, {"CREDITS": 30})
    assert await numbers(acme, grant) == (0, 30, 0, 0, 70)
    assert await acme.differences() == []


async def test_grants_of_accounts_above_are_spent_too(acme):
    await acme.account("acme/alice")
    shared = await acme.grant("acme", "CREDITS", 10, priority=5)
    own = await acme.grant("acme/alice", "CREDITS", 10)
    held = await hold(acme, 15, "acme/alice")
    assert receipts(held) == [(own.grant_id, 10, 10, 0), (shared.grant_id, 5, 5, 0)]
    await refused(hold(acme, 6))


async def test_a_grant_that_is_not_in_effect_yet(acme, clock):
    grant = await acme.grant("acme", "CREDITS", 10, effective_time=clock.now() + 60)
    assert grant.state == resources_pb2.GRANT_STATE_PENDING
    await refused(hold(acme, 1))
    clock.go(60)
    await hold(acme, 10)


async def test_grants_come_back_from_the_ledger(acme, core):
    grant = await acme.grant("acme", "CREDITS", 10)
    held = await hold(acme, 6)
    await core.hot.redis.flushdb()
    await refused(hold(acme, 5))
    await acme.commit(held.reservation_id, {"CREDITS": 5})
    await core.hot.redis.flushdb()
    await acme.refund(held.reservation_id, {"CREDITS": 1})
    assert await numbers(acme, grant) == (0, 5, 1, 6, 0)
    assert await acme.differences() == []


class TestOverage:
    async def paid(self, stubs, policy, cost):
        await stubs.account("globex", overage_policy=f"OVERAGE_POLICY_{policy}")
        await stubs.grant("globex", "CREDITS", 10)
        await stubs.grant("globex", "CREDITS", 10)
        held = await hold(stubs, 5, "globex")
        paid = (await stubs.commit(held.reservation_id, {"CREDITS": cost})).reservation
        assert await stubs.differences() == []
        leg = paid.legs[0]
        return leg.charged, leg.absorbed, [row.charged for row in paid.grants]

    async def test_cap(self, stubs):
        assert await self.paid(stubs, "CAP", 12) == (5, 7, [5])

    async def test_available(self, stubs):
        assert await self.paid(stubs, "AVAILABLE", 25) == (20, 5, [10, 10])

    async def test_debt(self, stubs):
        assert await self.paid(stubs, "DEBT", 25) == (25, 0, [10, 15])
        refusal = await refused(hold(stubs, 1, "globex"))
        assert refusal.metadata["denial_reason"] == "DEBT_OUTSTANDING"
        await stubs.grant("globex", "CREDITS", 8)
        await refused(hold(stubs, 4, "globex"))
        await hold(stubs, 3, "globex")


async def test_what_no_grant_could_owe_is_absorbed(stubs):
    await stubs.account("acme", overage_policy="OVERAGE_POLICY_DEBT")
    credit = await stubs.grant("acme", "CREDITS", 10)
    await stubs.void_grant((await stubs.grant("acme", "IMAGES", 5)).grant_id)
    held = await hold(stubs, 6)
    paid = await stubs.commit(held.reservation_id, {"CREDITS": 6, "IMAGES": 9})
    assert [(leg.charged, leg.absorbed) for leg in paid.reservation.legs] == [(6, 0), (0, 9)]
    assert await numbers(stubs, credit) == (0, 6, 0, 4, 0)
    assert await stubs.differences() == []


async def test_late_it_is_charged_to_the_grants_that_it_had_been_taken_from(acme, core, clock):
    grant = await acme.grant("acme", "CREDITS", 10)
    held = await hold(acme, 6, ttl=5)
    clock.go(6)
    await core.sweeper.expire_due()
    assert await numbers(acme, grant) == (0, 0, 0, 10, 0)
    paid = (await acme.commit(held.reservation_id, {"CREDITS": 8})).reservation
    assert (paid.late, paid.legs[0].charged) == (True, 8)
    assert await numbers(acme, grant) == (0, 8, 0, 2, 0)
    assert await acme.differences() == []


async def test_what_is_wrong_is_named(acme):
    assert await invalid(acme.grant("acme", "CREDITS", 0)) == ["grant.amount"]
    assert await invalid(acme.grant("acme", "RESERVATIONS", 1)) == ["grant.unit"]
    assert await invalid(acme.grant("acme", "CREDITS", 1, priority=1_001)) == ["grant.priority"]
    late = {"effective_time": 2_000_000_000, "expire_time": 1_999_999_999}
    assert await invalid(acme.grant("acme", "CREDITS", 1, **late)) == ["grant.expire_time"]
    assert (await refused(acme.grant("acme/nobody", "CREDITS", 1))).code == "NOT_FOUND"
    missing = f"acme/{new_key()}"
    assert (await refused(acme.get_grant(missing))).code == "NOT_FOUND"
    assert (await refused(acme.void_grant(missing))).code == "NOT_FOUND"
    assert await invalid(acme.get_grant("acme")) == ["grant_id"]
