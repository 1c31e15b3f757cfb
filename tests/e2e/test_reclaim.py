"""Expired holds that are in the way of a Reserve are given back first, whatever sweeps or not."""

from __future__ import annotations

import pytest

from authority.v1 import budget_service_pb2 as budget
from authority.v1 import errors_pb2
from refusals import refused


@pytest.fixture
async def full(stubs, core):
    """An account whose budget is filled by a hold that has expired, while nobody sweeps."""

    async def nothing():
        pass

    core.sweeper.sweep = nothing
    await stubs.account("acme", reserves_per_minute=2)
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 90}, ttl=60)
    # The rate limit has forgotten the call by then.
    core.hot.clock.offset_ms += 600_000
    return stubs


async def test_a_reserve_takes_what_they_held(full):
    held = await full.reserve("acme", {"USD": 100})
    assert await full.balance("acme") == {("acme", "usd-day"): (100, 0, 0, 0)}
    assert held.reservation.legs[0].held == 100
    assert await full.differences() == []


async def test_it_counts_once_against_the_rate(full):
    await full.reserve("acme", {"USD": 95})
    await full.reserve("acme", {"USD": 5})
    refusal = await refused(full.reserve("acme", {"USD": 1}))
    assert refusal.detail(errors_pb2.Denial).reason == errors_pb2.DENIAL_REASON_RATE_LIMITED


async def test_best_effort_takes_all_that_is_really_left(full):
    held = await full.reserve("acme", {"USD": 120}, mode="RESERVE_MODE_BEST_EFFORT")
    assert held.reservation.legs[0].held == 100


async def test_a_check_answers_what_a_reserve_would(full):
    check = await full.reserve("acme", {"USD": 100}, mode=budget.RESERVE_MODE_CHECK_ONLY)
    assert check.reservation.legs[0].reserved == 100
    held = await full.reserve("acme", {"USD": 100})
    assert held.reservation.legs[0].held == 100


async def test_an_option_that_can_never_be_held_hides_no_other(full):
    # Nothing meters credits: only the first option may ever be held.
    held = await full.reserve("acme", {"USD": 100}, {"CREDITS": 1})
    assert held.reservation.option_index == 0


async def test_they_are_known_after_the_hot_store_was_emptied(full, core):
    await core.hot.redis.flushdb()
    held = await full.reserve("acme", {"USD": 100})
    assert held.reservation.legs[0].held == 100
