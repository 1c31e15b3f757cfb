"""What is said of a budget: its window's end, and when its limit is reached."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.domain.budgets import Budget, BudgetWindow, Enforcement
from authority.domain.money import Unit
from authority.domain.past_days import DAY_MS, PastDay
from authority.domain.ports import WindowCounts
from authority.domain.windows import Window, window_at
from authority.usecases.projection import project
from authority.usecases.read import Balance

NOON = int(datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp() * 1000)
LEFT_DAYS = 20  # and a half, until the month is over
TODAY = datetime(2026, 11, 10, tzinfo=UTC)


def balance_of(limit, committed, window=Window.MONTH, refunded=0):
    """Return a budget in its window of noon on November 10."""
    budget = Budget(
        1, "acme", "usd", Unit.USD, window, limit, Enforcement.BLOCK, TODAY, TODAY, (100,)
    )
    span = window_at(window, "UTC", NOON)
    return Balance(BudgetWindow(budget, span), WindowCounts(7, committed, refunded))


def days_of(count, amount=100):
    """Return days of which each half has half of an amount."""
    return [PastDay(amount, amount // 2)] * count


def test_a_month_ends_with_what_was_charged_and_what_is_to_come():
    said = project(balance_of(10_000, 900, refunded=100), days_of(30), "UTC", NOON)
    assert said.expected == 800 + LEFT_DAYS * 100 + 50
    assert (said.lower, said.upper) == (said.expected, said.expected)
    assert (said.exhaust_ms, said.earliest_exhaust_ms) == (0, 0)


def test_a_limit_is_reached_when_what_is_left_is_spent():
    said = project(balance_of(1_350, 1_000), days_of(30), "UTC", NOON)
    assert said.exhaust_ms == NOON + 3 * DAY_MS + DAY_MS // 2
    assert said.earliest_exhaust_ms == said.exhaust_ms


def test_a_limit_that_is_reached_is_reached_now_whatever_is_known():
    for days in ([], days_of(30)):
        assert project(balance_of(1_000, 1_000), days, "UTC", NOON).exhaust_ms == NOON


def test_of_a_budget_without_an_end_only_the_day_of_its_end_is_said():
    said = project(balance_of(100_000, 0, Window.TOTAL), days_of(30), "UTC", NOON)
    assert (said.expected, said.lower, said.upper) == (None, None, None)
    assert said.exhaust_ms == NOON + 1_000 * DAY_MS
    far = project(balance_of(10**12, 0, Window.TOTAL), days_of(30), "UTC", NOON)
    assert far.exhaust_ms == 0, "not within ten years"


def test_without_history_nothing_is_said():
    said = project(balance_of(1_000, 10), days_of(2), "UTC", NOON)
    assert (said.forecast, said.expected, said.exhaust_ms) == (None, None, 0)
    assert project(balance_of(1_000, 10), days_of(9, 0), "UTC", NOON).expected == 10


@pytest.mark.parametrize("window", list(Window))
@given(
    amounts=st.lists(st.integers(-50, 500), min_size=3, max_size=60),
    limit=st.integers(0, 20_000),
    committed=st.integers(0, 5_000),
)
def test_what_is_said_agrees_with_itself(window, amounts, limit, committed):
    days = [PastDay(amount, amount // 3) for amount in amounts]
    balance = balance_of(limit, committed, window)
    said = project(balance, days, "UTC", NOON)
    end_ms = balance.window.span.end_ms
    assert said.expected is not None or window is Window.TOTAL
    for moment in (said.exhaust_ms, said.earliest_exhaust_ms):
        assert moment == 0 or moment >= NOON
        assert moment <= end_ms or not end_ms
    if said.expected is not None and said.expected > committed:
        assert bool(said.exhaust_ms) == (said.expected >= limit)
    if said.exhaust_ms and said.earliest_exhaust_ms:
        assert said.earliest_exhaust_ms <= said.exhaust_ms
    if said.upper is not None:
        assert committed <= said.lower <= said.expected <= said.upper
