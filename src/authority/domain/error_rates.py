"""Whether a provider fails more often than it is used to.

What was counted is a sample, and a few cases may fail by chance. So the rate that counts is not the
one seen but the lowest that would show as many failures once in a thousand times (Clopper-Pearson's
exact bound): only if that is above what is usual by a factor, and above a floor, is it said. The
few cases of an idle provider can't say it, whatever they are.
"""

from __future__ import annotations

from typing import NamedTuple

from similarity.intervals import upper_bound

_CHANCE = 0.001


class Cases(NamedTuple):
    """How many there were, and how many of them failed."""

    total: int
    failed: int

    @property
    def rate(self) -> float:
        """Return the share that failed, of nothing 0."""
        return self.failed / self.total if self.total else 0.0


class RateBounds(NamedTuple):
    """What makes a rate worth a word."""

    cases: int
    percent: int
    percent_of_usual: int


def surely_failed(cases: Cases) -> float:
    """Return the rate at which as many failures would be seen once in a thousand times."""
    if cases.total == 0:
        return 0.0
    # What succeeds is as sure as what fails: one bound is the other's, seen from there.
    return 1 - upper_bound(cases.total - cases.failed, cases.total, _CHANCE)


def fails_unusually(now: Cases, usual: Cases, bounds: RateBounds) -> bool:
    """Say whether a provider fails more often than it did."""
    if now.total < bounds.cases:
        return False
    least = max(bounds.percent / 100, usual.rate * bounds.percent_of_usual / 100)
    # A provider that always fails half of what it is asked can't fail three times as often.
    return surely_failed(now) > min(least, (1 + usual.rate) / 2)
