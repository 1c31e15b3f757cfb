"""Whether an amount is far from what is usual: a robust z-score against a day's own weekdays.

The usual is the median of the same weekdays of the last weeks, and what is usual about straying
from it is the median of how far these were from it (the MAD), times 1.4826, which makes of it what
a standard deviation is for amounts that scatter evenly. Neither is moved by a few wild days. A
score alone would cry wolf, since the median of eight days is no more sure than eight days are. So
an amount is unusual only where all of these hold:

- there are enough such days, and most of them had any spend: what has no usual has no unusual;
- its score is at least the one asked for, where straying counts as a fifth of the median at least;
- it is at least as many times the highest of these days as is asked for;
- it is at least as much as is worth a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

_MAD_TO_DEVIATION = Fraction(14_826, 10_000)
_DEVIATION_MIN = Fraction(1, 5)  # of the median


class Bounds(NamedTuple):
    """What makes an amount unusual."""

    score: int
    percent_of_highest: int
    amount: int
    days: int


class Unusual(NamedTuple):
    """An amount that is unusual, and why."""

    score: Fraction
    median: Fraction
    highest: int


def median(values: Sequence[int | Fraction]) -> Fraction:
    """Return the middle of some values, or the mean of the two in the middle."""
    assert values, "nothing has no middle"
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return Fraction(ordered[half])
    return Fraction(ordered[half - 1] + ordered[half]) / 2


def robust_z(value: int, usual: Sequence[int]) -> Fraction:
    """Return how many deviations a value is above the median of the usual, which is not 0."""
    middle = median(usual)
    assert middle > 0, "what has no usual has no unusual"
    straying = median([abs(value - middle) for value in usual]) * _MAD_TO_DEVIATION
    return (value - middle) / max(straying, middle * _DEVIATION_MIN)


def unusual(value: int, usual: Sequence[int], bounds: Bounds) -> Unusual | None:
    """Say why a day's amount is unusual for its weekday; None if it is not.

    Args:
        value: the amount of the day, so far.
        usual: those of the same weekday in the weeks before, whole days.
        bounds: what makes an amount unusual.

    """
    if len(usual) < bounds.days or value < bounds.amount:
        return None
    highest = max(usual)
    if value * 100 < highest * bounds.percent_of_highest or median(usual) <= 0:
        return None
    score = robust_z(value, usual)
    return Unusual(score, median(usual), highest) if score >= bounds.score else None
