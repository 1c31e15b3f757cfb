"""Calendar windows: the spans that budgets count over, aligned to an account's time zone.

A window is named by the instant at which it starts, so there is no reset job: when the time comes,
the name changes and a new count begins at zero.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

_ZONES = 256
_HOUR_MS = 3_600_000
# Every window of every zone in use begins and ends at a quarter of an hour.
QUARTER_MS = 900_000


class Window(StrEnum):
    """The span that a budget counts over."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    TOTAL = "TOTAL"


class WindowSpan(NamedTuple):
    """One window, [start, end), in Unix milliseconds. TOTAL has start 0 and end 0, for none."""

    start_ms: int
    end_ms: int

    def holds(self, now_ms: int) -> bool:
        """Say whether the window is in force at `now_ms`."""
        return self.end_ms == 0 or self.start_ms <= now_ms < self.end_ms


@lru_cache(maxsize=_ZONES)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4096)
def _span_of_quarter(window: Window, zone_name: str, quarter: int) -> WindowSpan:
    """Return the span that holds the given quarter of an hour since the epoch.

    One cached answer serves every moment of it.
    """
    zone = _zone(zone_name)
    moment = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    day = _span(midnight, _days_later(midnight, 1))
    if window is Window.DAY:
        return day
    if window is Window.HOUR:
        return _hour_of(day, quarter * QUARTER_MS)
    if window is Window.WEEK:
        monday = _days_later(midnight, -midnight.weekday())
        return _span(monday, _days_later(monday, 7))
    first = midnight.replace(day=1)
    following = _days_later(first, 32).replace(day=1)
    return _span(first, following)


def _hour_of(day: WindowSpan, moment_ms: int) -> WindowSpan:
    # Counted in real time from midnight: when clocks go back there are two hours of the same name,
    # and where they move by half an hour, the last hour of that day is a half one.
    start_ms = moment_ms - (moment_ms - day.start_ms) % _HOUR_MS
    return WindowSpan(start_ms, min(start_ms + _HOUR_MS, day.end_ms))


def _days_later(midnight: datetime, days: int) -> datetime:
    # Aware arithmetic in one zone is on the wall clock, which is what a calendar day means.
    return midnight + timedelta(days=days)


def _span(start: datetime, end: datetime) -> WindowSpan:
    return WindowSpan(int(start.timestamp()) * 1000, int(end.timestamp()) * 1000)


def window_at(window: Window, time_zone: str, now_ms: int) -> WindowSpan:
    """Return the window in force at `now_ms`.

    Args:
        window: the kind of window.
        time_zone: an IANA name, such as `Europe/Berlin`.
        now_ms: Unix time in milliseconds.

    """
    if window is Window.TOTAL:
        return WindowSpan(0, 0)
    return _span_of_quarter(window, time_zone, now_ms // QUARTER_MS)
