"""What is unusual: far above the same weekdays, sure, and worth a word."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from authority.domain.error_rates import Cases, RateBounds, fails_unusually, surely_failed
from authority.domain.outliers import Bounds, median, robust_z, unusual

BOUNDS = Bounds(score=8, percent_of_highest=200, amount=1_000_000, days=8)
DOLLAR = 1_000_000


def test_the_median_of_an_even_number_is_between_the_two():
    assert median([4, 1, 3, 2]) == Fraction(5, 2)
    assert median([9, 1, 3]) == 3


def test_the_score_counts_deviations_from_the_median():
    # Median 100, distances 0 0 10 10 20 20 30 -> 10, so one deviation is 14.826, below a fifth.
    usual = [70, 80, 90, 100, 100, 110, 120]
    assert robust_z(140, usual) == 2
    # Distances of 40 and more: the deviation is 59.304.
    wide = [20, 40, 60, 100, 140, 160, 180]
    assert robust_z(100 + 59_304, wide) == Fraction(59_304 * 10_000, 60 * 14_826)


def test_wild_days_do_not_move_what_is_usual():
    quiet = [10 * DOLLAR] * 8
    wild = [10 * DOLLAR] * 6 + [11 * DOLLAR, 300 * DOLLAR]
    assert robust_z(40 * DOLLAR, quiet) == robust_z(40 * DOLLAR, wild) == 15
    found = unusual(40 * DOLLAR, quiet, BOUNDS)
    assert found is not None
    assert found.highest == 10 * DOLLAR
    assert unusual(40 * DOLLAR, wild, BOUNDS) is None, "there was more on such a day"


@pytest.mark.parametrize(
    ("value", "usual"),
    [
        (40 * DOLLAR, [10 * DOLLAR] * 7),  # too few days
        (DOLLAR - 1, [100] * 8),  # not worth a word
        (19 * DOLLAR, [10 * DOLLAR] * 8),  # below twice the highest
        (50 * DOLLAR, [0, 0, 0, 0, 0, 5, 5, 5]),  # what has no usual
        (10**15, [0] * 8),
    ],
)
def test_what_is_not_unusual(value, usual):
    assert unusual(value, usual, BOUNDS) is None


def test_a_weekend_day_is_held_against_weekend_days():
    """What is nothing on a Monday is much on a Sunday."""
    assert unusual(10 * DOLLAR, [9 * DOLLAR] * 8, BOUNDS) is None
    assert unusual(10 * DOLLAR, [DOLLAR] * 8, BOUNDS) is not None


def _quiet_day(rng, day):
    shape = (100, 100, 110, 100, 90, 30, 20)[day % 7]
    return max(0, int(shape * DOLLAR * rng.gauss(1, 0.25)))


def test_a_quiet_history_raises_next_to_no_alarm():
    """Of 200 accounts in ten months of quiet use at most one day in 10,000 is called unusual."""
    rng = random.Random(7)
    alarms = total = found = planted = 0
    for _ in range(200):
        days = [_quiet_day(rng, day) for day in range(300)]
        for day in range(56, 300):
            usual = [days[day - 7 * week] for week in range(1, 9)]
            alarms += unusual(days[day], usual, BOUNDS) is not None
            total += 1
            if day % 29 == 0:
                found += unusual(days[day] * 6, usual, BOUNDS) is not None
                planted += 1
    assert alarms <= total / 10_000, (alarms, total)
    assert found > planted * 0.95, (found, planted)


RATES = RateBounds(cases=20, percent=20, percent_of_usual=300)


@pytest.mark.parametrize(
    ("now", "usual", "is_unusual"),
    [
        (Cases(100, 60), Cases(10_000, 100), True),
        (Cases(20, 20), Cases(0, 0), True),
        (Cases(19, 19), Cases(10_000, 0), False),  # too few
        (Cases(100, 25), Cases(10_000, 0), False),  # may be below a fifth in truth
        (Cases(400, 140), Cases(10_000, 2_000), False),  # not three times the usual
        (Cases(400, 390), Cases(10_000, 5_000), True),  # more than twice is out of reach
        (Cases(400, 200), Cases(10_000, 5_000), False),
        (Cases(0, 0), Cases(0, 0), False),
    ],
)
def test_how_often_a_provider_fails(now, usual, is_unusual):
    assert fails_unusually(now, usual, RATES) is is_unusual


def test_the_sure_rate_is_below_the_one_seen_and_nears_it():
    assert surely_failed(Cases(0, 0)) == 0
    assert surely_failed(Cases(50, 0)) == 0
    rates = [surely_failed(Cases(count, count // 2)) for count in (20, 200, 2_000)]
    assert rates == sorted(rates)
    assert all(rate < 0.5 for rate in rates)
    assert rates[-1] > 0.46


def test_a_provider_that_fails_as_it_always_does_raises_no_alarm():
    """In 20,000 hours of a provider that fails 5 % of the time none is called unusual."""
    rng = random.Random(3)
    usual = Cases(5_000, 250)
    alarms = 0
    for _ in range(20_000):
        total = rng.randrange(20, 60)
        failed = sum(rng.random() < 0.05 for _ in range(total))
        alarms += fails_unusually(Cases(total, failed), usual, RATES)
    assert alarms == 0
