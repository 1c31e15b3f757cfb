"""What will be spent until a window ends, with a band, and when a budget will be exhausted.

The method. The time to come, cut at this time of day, is expected to be as the same weekdays were
in the mean of the last four weeks (`WEEKS_MAX`), or of as many as there are; with less than a week,
as the days were in the mean. With less than three days nothing is said.

The band is made of past errors. For each past day the same forecast is made from what was known by
then, for as long as the time to come, though for a week at most, and compared with what came. An
error counts as the ratio of the forecasts, of now and of then, says (within 1/4 and 4), so that an
account that has grown is not judged by what it was. Of the errors the lowest and the highest tenth
are left out. What remains is stretched by the time to come over that compared, since an account
that drifts does so for all of it, and by one more for each error that was independent of the
others, since a few tell less than many. It is meant to hold four out of five. Where fewer than nine
errors are known there is no band.

All of it is integers and fractions, and rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from authority.domain.past_days import DAY_MS, Horizon, PastDay

WEEKS_MAX = 4
HISTORY_DAYS = 91
DAYS_MIN = 3
ERRORS_MIN = 9
_WEEK = 7
_TAIL = Fraction(1, 10)
_NOTHING = Fraction(0)
_RATIO_MAX = Fraction(4)


class Band(NamedTuple):
    """Where an amount will be, four times out of five."""

    lower: int
    upper: int


class Forecast(NamedTuple):
    """What is expected to be spent in the time to come; `weeks` of history were its basis."""

    expected: int
    band: Band | None
    weeks: int
    days: int
    errors: int


def forecast(days: Sequence[PastDay], ahead: Horizon) -> Forecast | None:
    """Forecast what will be spent, or None where there is too little history.

    Args:
        days: the past, oldest first, cut where `ahead` says.
        ahead: the time to come.

    """
    if len(days) < DAYS_MIN:
        return None
    days = days[-HISTORY_DAYS:]
    expected = max(_NOTHING, _expected(days, ahead))
    errors = _errors(days, ahead)
    band = None
    if len(errors) >= ERRORS_MIN:
        compared = _compared(ahead)
        independent = Fraction(len(errors), _days_touched(compared))
        stretch = Fraction(ahead.length_ms, max(1, compared.length_ms)) * (1 + 1 / independent)
        below, above = _quantile([-error for error in errors]), _quantile(errors)
        lower = expected - max(_NOTHING, below) * stretch
        upper = expected + max(_NOTHING, above) * stretch
        band = Band(max(0, _floor(lower)), _ceiling(upper))
    weeks = min(WEEKS_MAX, len(days) // _WEEK)
    return Forecast(round(expected), band, weeks, len(days), len(errors))


def days_to_spend(days: Sequence[PastDay], amount: Fraction) -> Fraction | None:
    """Return in how many days an amount will be spent, as the last weeks were.

    Within a day the amount is spread evenly. None where nothing is spent, or where there is too
    little history.
    """
    if len(days) < DAYS_MIN:
        return None
    if amount <= 0:
        return _NOTHING
    recent = days[-HISTORY_DAYS:]
    rates = [max(_NOTHING, _expected(recent, Horizon(1, 0), skip)) for skip in range(_WEEK)]
    a_week = sum(rates, _NOTHING)
    if not a_week:
        return None
    weeks = _ceiling(amount / a_week) - 1
    left = amount - weeks * a_week
    for at, rate in enumerate(rates):
        if rate and left <= rate:
            return weeks * _WEEK + at + left / rate
        left -= rate
    raise AssertionError("a week's amount is spent within the week")


def _expected(days: Sequence[PastDay], ahead: Horizon, skip: int = 0) -> Fraction:
    """Return the mean of the same weekdays; `skip` days pass before the time to come begins."""
    weeks = min(WEEKS_MAX, len(days) // _WEEK)
    if weeks == 0:
        whole = sum(day.whole for day in days) * ahead.days
        return Fraction(whole + sum(day.part for day in days), len(days))
    total = 0
    count = len(days)
    for week in range(1, weeks + 1):
        start = count - week * _WEEK
        same = [days[start + (skip + at) % _WEEK] for at in range(min(_WEEK, ahead.days))]
        total += sum(day.whole for day in same) * (ahead.days // _WEEK or 1)
        if ahead.days >= _WEEK:
            total += sum(day.whole for day in same[: ahead.days % _WEEK])
        total += days[start + (skip + ahead.days) % _WEEK].part if ahead.part_ms else 0
    return Fraction(total, weeks)


def _compared(ahead: Horizon) -> Horizon:
    """Return how long a time past forecasts are compared over."""
    return ahead if ahead.days < _WEEK else Horizon(_WEEK, 0)


def _days_touched(ahead: Horizon) -> int:
    return max(1, ahead.days + (1 if ahead.part_ms else 0))


def _errors(days: Sequence[PastDay], ahead: Horizon) -> list[Fraction]:
    """Return what came less what would have been forecast, for each day with a week before it."""
    compared = _compared(ahead)
    touched = _days_touched(compared)
    now = _expected(days, compared)
    errors = []
    for at in range(_WEEK, len(days) - touched + 1):
        then = _expected(days[:at], compared)
        came = sum(day.whole for day in days[at : at + compared.days])
        if compared.part_ms:
            came += days[at + compared.days].part
        ratio = min(_RATIO_MAX, max(1 / _RATIO_MAX, now / then)) if then > 0 else Fraction(1)
        errors.append((came - then) * ratio)
    return errors


def _quantile(errors: Sequence[Fraction]) -> Fraction:
    """Return the error that nine out of ten are at most, counting the one to come among them."""
    rank = _ceiling((len(errors) + 1) * (1 - _TAIL))
    return sorted(errors)[min(rank, len(errors)) - 1]


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator


def _ceiling(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def day_length(days: Fraction) -> int:
    """Return days in milliseconds, rounded down."""
    return _floor(days * DAY_MS)
