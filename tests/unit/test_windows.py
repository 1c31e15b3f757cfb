"""Windows tile time, in every zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authority.domain.windows import Window, WindowSpan, window_at

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
CALENDAR = [window for window in Window if window is not Window.TOTAL]


def ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "zone", "now", "start", "end"),
    [
        ("HOUR", "UTC", "2026-11-21T05:59:59Z", "2026-11-21T05:00Z", "2026-11-21T06:00Z"),
        ("DAY", "UTC", "2026-11-21T00:00:00Z", "2026-11-21T00:00Z", "2026-11-22T00:00Z"),
        ("DAY", "America/New_York", "2026-11-21T03:00Z", "2026-11-20T05:00Z", "2026-11-21T05:00Z"),
        # Clocks go forward: a day of 23 hours; and back: one of 25.
        ("DAY", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("DAY", "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        ("WEEK", "UTC", "2026-11-22T23:59Z", "2026-11-16T00:00Z", "2026-11-23T00:00Z"),
        ("WEEK", "UTC", "2027-01-01T00:00Z", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        ("MONTH", "UTC", "2028-02-29T12:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("MONTH", "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("HOUR", "Asia/Kathmandu", "2026-11-21T05:20Z", "2026-11-21T05:15Z", "2026-11-21T06:15Z"),
    ],
)
def test_a_window_is_where_the_calendar_says(window, zone, now, start, end):
    assert window_at(Window(window), zone, ms(now)) == WindowSpan(ms(start), ms(end))


def test_a_total_never_ends():
    span = window_at(Window.TOTAL, "UTC", ms("2026-11-21T00:00Z"))
    assert span == (0, 0)
    assert span.holds(ms("2999-01-01T00:00Z"))


@given(
    st.sampled_from(CALENDAR),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)),  # noqa: DTZ001 - UTC is added below
)
def test_windows_hold_their_moment_and_touch_their_neighbours(window, zone, moment):
    now = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
    span = window_at(window, zone, now)
    assert span.holds(now)
    assert window_at(window, zone, span.start_ms) == span
    assert window_at(window, zone, span.end_ms - 1) == span
    assert window_at(window, zone, span.end_ms).start_ms == span.end_ms
    assert window_at(window, zone, span.start_ms - 1).end_ms == span.start_ms


# Clocks that move by half an hour, at midnight, or past a whole day.
TRANSITIONS = [
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("America/Havana", "2026-03-08T05:00Z"),
    ("America/Havana", "2026-11-01T05:00Z"),
    ("Africa/Cairo", "2026-04-23T22:00Z"),
    ("America/Santiago", "2026-04-05T03:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
]


@pytest.mark.parametrize(("zone", "moment"), TRANSITIONS)
@pytest.mark.parametrize("window", CALENDAR)
def test_windows_tile_time_where_clocks_change(window, zone, moment):
    quarter = 15 * 60_000
    first, last = ms(moment) - 200 * quarter, ms(moment) + 200 * quarter
    assert _offset(zone, ms(moment) - 1) != _offset(zone, ms(moment))
    spans = {window_at(window, zone, now) for now in range(first, last, quarter)}
    assert all(a.end_ms == b.start_ms for a, b in pairwise(sorted(spans)))
    if window is Window.HOUR:
        assert all(0 < span.end_ms - span.start_ms <= 3_600_000 for span in spans)


def _offset(zone, now):
    return datetime.fromtimestamp(now / 1000, ZoneInfo(zone)).utcoffset()
