"""How sure a share is that was counted: Clopper-Pearson's exact bounds of a binomial proportion."""

from __future__ import annotations

import math
from typing import NamedTuple

# Of a float between 0 and 1, bisection finds no more after these.
_STEPS = 60
# A term of a sum that is so much smaller than the first one changes nothing.
_NEGLIGIBLE = 1e-18


class Interval(NamedTuple):
    """Where a proportion is, with the confidence asked for."""

    lower: float
    upper: float


def interval(count: int, total: int, confidence: float = 0.95) -> Interval:
    """Return the two-sided interval of a proportion of which `count` of `total` were seen.

    Of nothing seen it is 0 to 1.
    """
    tail = (1 - confidence) / 2
    # What is not counted is as likely as what is: one bound is the other's, seen from there.
    return Interval(1 - upper_bound(total - count, total, tail), upper_bound(count, total, tail))


def upper_bound(count: int, total: int, tail: float) -> float:
    """Return the proportion at which as few as `count` of `total` are seen with probability `tail`.

    If the proportion were any larger, it would be less likely still. It is rounded up.
    """
    assert 0 <= count <= total, "no more are counted than there are"
    if count == total:
        return 1.0
    low, high = count / total, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_most(count, total, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def at_most(count: int, total: int, proportion: float) -> float:
    """Return the probability that at most `count` of `total` are seen: the binomial's tail."""
    if proportion <= 0 or count >= total:
        return 1.0
    if proportion >= 1:
        return 0.0
    # Away from the middle each term is smaller than the one before, so the sum can end early.
    if count < total * proportion:
        return _tail(count, total, proportion)
    return 1.0 - _tail(total - count - 1, total, 1 - proportion)


def _tail(count: int, total: int, proportion: float) -> float:
    """Return the sum of the terms from `count` down to none."""
    term = math.exp(
        math.lgamma(total + 1)
        - math.lgamma(count + 1)
        - math.lgamma(total - count + 1)
        + count * math.log(proportion)
        + (total - count) * math.log1p(-proportion)
    )
    odds = (1 - proportion) / proportion
    terms = [term]
    for seen in range(count, 0, -1):
        term *= seen * odds / (total - seen + 1)
        terms.append(term)
        if term < terms[0] * _NEGLIGIBLE:
            break
    return min(1.0, math.fsum(terms))
