"""The days behind a moment, cut where the end of a window cuts the last of the days before it.

Between now and the end of a window lie whole days, counted from this very time of day, and a part
of one. So the past is cut at the same times of day, on the wall clock of the account: a part of a
past day is what the part that is to come is like, and seven days before anything is its weekday.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
_WEEK = 7


class PastDay(NamedTuple):
    """What was spent in 24 hours of the wall clock, and in the first part of them."""

    whole: int
    part: int


class Horizon(NamedTuple):
    """The time to come: whole days, and a part of a day in milliseconds of the wall clock."""

    days: int
    part_ms: int

    @property
    def length_ms(self) -> int:
        """Return how long it is."""
        return self.days * DAY_MS + self.part_ms


def horizon(time_zone: str, now_ms: int, end_ms: int) -> Horizon:
    """Return the time from a moment to a later one, as wall clocks of a zone count it."""
    assert now_ms <= end_ms, "a window that is over has no time to come"
    span = _local(time_zone, end_ms) - _local(time_zone, now_ms)
    # When clocks are set back, a window may end a little before its wall clock's time of now.
    span = max(span, timedelta())
    return Horizon(span.days, (span - timedelta(days=span.days)) // timedelta(milliseconds=1))


def boundaries(time_zone: str, now_ms: int, part_ms: int, count: int) -> list[int]:
    """Return where the last `count` days begin, and their parts end, and last the moment itself.

    They are in order, in Unix milliseconds: day, part, day, part, ..., now.
    """
    now = _local(time_zone, now_ms)
    part = timedelta(milliseconds=part_ms)
    cuts = []
    for back in range(count, 0, -1):
        start = now - timedelta(days=back)
        cuts += [_instant(time_zone, start), _instant(time_zone, start + part)]
    return [*cuts, now_ms]


def past_days(sums: list[int]) -> list[PastDay]:
    """Return days, oldest first, by what was spent between each boundary and the next.

    Days before the first use are left out, and so is the first day of use, which began before it.
    """
    assert len(sums) % 2 == 0, "two spans are a day"
    days = [PastDay(sums[at] + sums[at + 1], sums[at]) for at in range(0, len(sums), 2)]
    first = next((at for at, day in enumerate(days) if day.whole), len(days))
    return days[first and first + 1 :]


def local_day(time_zone: str, now_ms: int) -> date:
    """Return which day it is in a zone."""
    return _local(time_zone, now_ms).date()


def same_weekdays(time_zone: str, now_ms: int, weeks: int) -> list[tuple[int, int]]:
    """Return this day of the week in each of the last weeks, the oldest first.

    They are [start, end) in Unix milliseconds.
    """
    today = datetime.combine(local_day(time_zone, now_ms), datetime.min.time())
    days = [today - timedelta(days=_WEEK * week) for week in range(weeks, 0, -1)]
    return [
        (_instant(time_zone, day), _instant(time_zone, day + timedelta(days=1))) for day in days
    ]


def _local(time_zone: str, moment_ms: int) -> datetime:
    """Return the wall clock's time, without its zone, so that a day is a day on the clock."""
    moment = datetime.fromtimestamp(moment_ms // 1000, ZoneInfo(time_zone))
    return moment.replace(tzinfo=None) + timedelta(milliseconds=moment_ms % 1000)


def _instant(time_zone: str, local: datetime) -> int:
    seconds = local.replace(microsecond=0, tzinfo=ZoneInfo(time_zone)).timestamp()
    return int(seconds) * 1000 + local.microsecond // 1000
