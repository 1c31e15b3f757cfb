"""Projections: exact where use repeats itself, and a band that holds what it says."""

from __future__ import annotations

import math
import random
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.domain.past_days import (
    DAY_MS,
    Horizon,
    PastDay,
    boundaries,
    horizon,
    past_days,
    same_weekdays,
)
from authority.domain.projection import day_length, days_to_spend, forecast

WEEK = (100, 110, 120, 100, 90, 30, 20)
HALF_DAY = DAY_MS // 2


def ms(text, zone="UTC"):
    """Return a wall clock's time in Unix milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def weeks_of(count, week=WEEK):
    """Return days of weeks that are all the same, half of each spent in the first part."""
    return [PastDay(amount, amount // 2) for amount in week * count]


# What the past is cut into.


def test_the_time_to_come_is_days_from_this_time_of_day_and_a_part():
    now, end = ms("2026-11-10T15:00"), ms("2026-12-01T00:00")
    assert horizon("UTC", now, end) == Horizon(20, 9 * 3_600_000)
    assert horizon("UTC", end, end) == Horizon(0, 0)


def test_a_day_is_one_of_the_wall_clock_where_clocks_change():
    zone = "Europe/Berlin"
    now, end = ms("2026-10-20T12:00", zone), ms("2026-11-01T00:00", zone)
    assert end - now != 11 * DAY_MS + HALF_DAY, "clocks are set back on October 25"
    assert horizon(zone, now, end) == Horizon(11, HALF_DAY)
    cuts = boundaries(zone, ms("2026-10-27T12:00", zone), HALF_DAY, 3)
    walls = [datetime.fromtimestamp(cut / 1000, ZoneInfo(zone)).strftime("%d %H") for cut in cuts]
    assert walls == ["24 12", "25 00", "25 12", "26 00", "26 12", "27 00", "27 12"]


@given(
    st.sampled_from(["UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"]),
    st.integers(ms("2026-01-01T00:00"), ms("2026-12-31T00:00")),
    st.integers(0, DAY_MS - 1),
)
def test_boundaries_are_in_order_and_end_now(zone, now, part):
    cuts = boundaries(zone, now, part, 91)
    assert len(cuts) == 183
    assert cuts[-1] == now
    # An hour that there is twice, or not at all, may put a boundary past the next by as much.
    assert all(later - earlier > -2 * 3_600_000 for earlier, later in pairwise(cuts))


def test_days_begin_behind_the_first_day_of_use():
    assert past_days([0, 0, 0, 5, 1, 2, 0, 0]) == [PastDay(3, 1), PastDay(0, 0)]
    assert past_days([1, 2, 0, 4]) == [PastDay(3, 1), PastDay(4, 0)], "older than what was read"
    assert past_days([0, 0, 0, 0]) == []


# What is expected.


@given(st.integers(2, 13), st.integers(0, 40), st.booleans())
def test_use_that_repeats_itself_is_foretold_exactly(weeks, days, has_part):
    ahead = Horizon(days, HALF_DAY if has_part else 0)
    coming = [WEEK[at % 7] for at in range(days)]
    expected = sum(coming) + (WEEK[days % 7] // 2 if has_part else 0)
    found = forecast(weeks_of(weeks), ahead)
    assert found is not None
    assert found.expected == expected
    assert found.band is None or found.band == (expected, expected)


def test_with_less_than_a_week_the_days_count_in_the_mean():
    found = forecast([PastDay(10, 4), PastDay(20, 5), PastDay(60, 9)], Horizon(2, HALF_DAY))
    assert found is not None
    assert (found.expected, found.weeks, found.band) == (66, 0, None)


def test_with_less_than_three_days_nothing_is_said():
    assert forecast(weeks_of(1)[:2], Horizon(1, 0)) is None
    assert days_to_spend(weeks_of(1)[:2], Fraction(1)) is None


def test_only_the_last_four_weeks_are_the_rate():
    days = weeks_of(4, (1000,) * 7) + weeks_of(4, (10,) * 7)
    found = forecast(days, Horizon(7, 0))
    assert found is not None
    assert found.expected == 70


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=120), st.integers(0, 40))
def test_bands_hold_what_is_expected_and_nothing_is_below_zero(amounts, days):
    found = forecast([PastDay(amount, amount // 3) for amount in amounts], Horizon(days, HALF_DAY))
    assert found is not None
    assert found.expected >= 0
    if found.band is not None:
        assert 0 <= found.band.lower <= found.expected <= found.band.upper


# When it is exhausted.


@given(st.integers(1, 13), st.integers(0, 200))
def test_what_is_spent_in_so_many_days_is_exhausted_in_as_many(weeks, days):
    amount = sum(WEEK[at % 7] for at in range(days))
    assert days_to_spend(weeks_of(weeks), Fraction(amount)) == days


def test_a_part_of_a_day_is_spent_evenly():
    assert days_to_spend(weeks_of(2), Fraction(155)) == Fraction(3, 2)
    assert day_length(Fraction(3, 2)) == DAY_MS + HALF_DAY
    assert days_to_spend(weeks_of(2), Fraction(-5)) == 0


def test_days_without_spend_are_waited_for():
    assert days_to_spend(weeks_of(2, (0, 0, 0, 0, 0, 0, 70)), Fraction(70)) == 7
    assert days_to_spend(weeks_of(2, (0,) * 7), Fraction(70)) is None


# Whether the band holds four out of five.


def _amounts(kind, count, rng):
    level = 0.0
    for day in range(count):
        amount = WEEK[day % 7] * 10_000
        if kind == "even":
            amount *= max(0, rng.gauss(1, 0.25))
        elif kind == "skewed":
            amount *= math.exp(rng.gauss(0, 0.5))
        elif kind == "growing":
            amount *= math.exp(rng.gauss(0, 0.25)) * 1.007**day
        elif kind == "drifting":
            level = 0.8 * level + rng.gauss(0, 0.2)
            amount *= math.exp(level)
        elif kind == "bursts":
            amount *= math.exp(rng.gauss(0, 0.3)) * (8 if rng.random() < 0.03 else 1)
        yield round(amount)


@pytest.mark.parametrize("days", [4, 15, 29])
@pytest.mark.parametrize("history", [28, 91])
@pytest.mark.parametrize("kind", ["even", "skewed", "growing", "drifting", "bursts"])
def test_the_band_holds_about_four_out_of_five(kind, history, days):
    rng = random.Random(20)
    held = below = 0
    runs = 150
    for _ in range(runs):
        drawn = [PastDay(amount, amount // 2) for amount in _amounts(kind, history + days + 1, rng)]
        found = forecast(drawn[:history], Horizon(days, HALF_DAY))
        came = sum(day.whole for day in drawn[history:-1]) + drawn[-1].part
        assert found is not None
        assert found.band is not None
        held += found.band.lower <= came <= found.band.upper
        below += came < found.band.lower
    assert held >= runs * 0.7, (held, runs)
    assert below <= runs * 0.2, (below, runs)


def test_the_same_weekdays_are_whole_days_of_the_zone():
    zone = "Europe/Berlin"
    days = same_weekdays(zone, ms("2026-11-01T15:00", zone), 2)
    wanted = [("2026-10-18", "2026-10-19"), ("2026-10-25", "2026-10-26")]
    assert days == [(ms(start, zone), ms(end, zone)) for start, end in wanted]
    assert days[1][1] - days[1][0] == DAY_MS + 3_600_000, "clocks are set back on October 25"
