"""Calendar and clock: windows that end, days of 23 and 25 hours, and clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authority.v1 import budget_service_pb2 as budget
from authority.v1 import errors_pb2, resources_pb2
from calls import send
from refusals import refused

HOUR_MS = 3_600_000
# The zone, the window, the instant at which one ends and the next begins, and the hours of both.
ENDS = {
    "midnight in Kathmandu": ("Asia/Kathmandu", "DAY", "2027-01-15T18:15", 24, 24),
    "before the day that has 23 hours": ("Europe/Berlin", "DAY", "2027-03-27T23:00", 24, 23),
    "after the day that has 23 hours": ("Europe/Berlin", "DAY", "2027-03-28T22:00", 23, 24),
    "after the day that has 25 hours": ("Europe/Berlin", "DAY", "2027-10-31T23:00", 25, 24),
    "between two hours of one name": ("Europe/Berlin", "HOUR", "2027-10-31T01:00", 1, 1),
    "the week in which clocks change": ("Europe/Berlin", "WEEK", "2027-03-28T22:00", 167, 168),
    "the end of February": ("UTC", "MONTH", "2027-03-01T00:00", 28 * 24, 31 * 24),
    "the end of February in a leap year": ("UTC", "MONTH", "2028-03-01T00:00", 29 * 24, 31 * 24),
    "new year": ("America/St_Johns", "MONTH", "2027-01-01T03:30", 31 * 24, 31 * 24),
}


def milliseconds(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def clock(core):
    """The clock, to be moved."""

    class Clock:
        async def now_ms(self):
            return await core.hot.time_ms() + core.hot.clock.offset_ms

        async def go_to(self, moment_ms):
            core.hot.clock.offset_ms += moment_ms - await self.now_ms()

        def go(self, seconds):
            core.hot.clock.offset_ms += int(seconds * 1000)

    return Clock()


async def hold(stubs, amount, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


async def window_of(stubs):
    """Return the start and the end of the only budget's window, in milliseconds."""
    (row,) = (await send(stubs, budget.GetBalanceRequest(account="acme"))).balances
    return row.window_start_time.ToMilliseconds(), row.window_end_time.ToMilliseconds()


@pytest.mark.parametrize("name", ENDS)
async def test_a_reservation_across_midnight_clock_change_or_month_end(stubs, clock, name):
    """Case 18, and 16: a refund after its window has ended."""
    zone, window, end, hours, next_hours = ENDS[name]
    end_ms = milliseconds(end)
    await clock.go_to(end_ms - 2_000)
    await stubs.account("acme", time_zone=zone)
    await stubs.set_budget("acme", 100, window=window)
    before = await hold(stubs, 100)
    assert await window_of(stubs) == (end_ms - hours * HOUR_MS, end_ms)
    refusal = await refused(hold(stubs, 1))
    (limiting,) = refusal.detail(errors_pb2.Denial).limiting_budgets
    assert limiting.reset_time.ToMilliseconds() == end_ms
    await clock.go_to(end_ms)
    # All of it is there again, and what comes in of before stays in the window of before.
    after = await hold(stubs, 100)
    assert await window_of(stubs) == (end_ms, end_ms + next_hours * HOUR_MS)
    await stubs.commit(before, {"USD": 70})
    await stubs.refund(before, {"USD": 20})
    (row,) = (await stubs.balance("acme")).values()
    assert row == (100, 0, 0, 0)
    await stubs.release(after)
    assert await stubs.differences() == []


async def test_a_refund_after_its_window_has_ended_frees_nothing_in_the_new_one(stubs, clock):
    """Case 16."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    name = await hold(stubs, 100)
    await stubs.commit(name, {"USD": 100})
    clock.go(24 * 3600)
    other = await hold(stubs, 100)
    await stubs.refund(name, {"USD": 60})
    await refused(hold(stubs, 1))
    assert (await stubs.balance("acme"))["acme", "usd-day"] == (100, 0, 0, 0)
    assert (await stubs.get(name)).legs[0].refunded == 60
    await stubs.release(other)
    assert await stubs.differences() == []


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("hours", [0, 2], ids=["before", "after"])
async def test_a_late_commit_before_and_after_the_end_of_its_window(
    stubs, core, clock, hours, swept
):
    """Case 13."""
    await clock.go_to(milliseconds("2027-01-15T23:00"))
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    await stubs.set_budget("acme", 1_000, window="TOTAL")
    name = await hold(stubs, 100, ttl=10)
    clock.go(20 + hours * 3600)
    if swept:
        await core.sweeper.expire_due()
    paid = (await stubs.commit(name, {"USD": 70})).reservation
    assert (paid.late, paid.state) == (True, resources_pb2.RESERVATION_STATE_COMMITTED)
    balance = await stubs.balance("acme")
    assert balance["acme", "usd-day"] == ((0, 0, 0, 1_000) if hours else (0, 70, 0, 930))
    assert balance["acme", "usd-total"] == (0, 70, 0, 930)
    assert await stubs.differences() == []


async def test_a_clock_that_jumps_an_hour_ahead_and_back_never_goes_back_for_a_tenant(
    stubs, core, clock
):
    """Case 24."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 100, window="TOTAL")
    first = await hold(stubs, 100, ttl=600)
    clock.go(3_600)
    # It is over, by the hot store's clock: what it held may be held again.
    second = await hold(stubs, 60, ttl=600)
    ahead = await stubs.get(second)
    clock.go(-3_600)
    third = await stubs.get(await hold(stubs, 40, ttl=600))
    assert third.create_time.ToMilliseconds() >= ahead.create_time.ToMilliseconds()
    assert third.expire_time.ToMilliseconds() >= ahead.expire_time.ToMilliseconds()
    assert (await stubs.get(first)).state == resources_pb2.RESERVATION_STATE_EXPIRED
    assert not (await stubs.commit(second, {"USD": 60})).reservation.late
    await core.sweeper.expire_due()
    assert (await stubs.get(third.reservation_id)).state == resources_pb2.RESERVATION_STATE_HELD
    assert (await stubs.balance("acme"))["acme", "usd-total"] == (40, 60, 0, 0)
    assert await stubs.differences() == []


async def test_a_process_with_a_late_clock_holds_on_no_window_that_has_ended(stubs, core, clock):
    end_ms = milliseconds("2027-01-16T00:00")
    await clock.go_to(end_ms - 10_000)
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await hold(stubs, 100)
    await clock.go_to(end_ms)
    core.hot.clock.observe(end_ms - 60_000)
    await hold(stubs, 100)
    assert (await stubs.balance("acme"))["acme", "usd-day"] == (100, 0, 0, 0)
