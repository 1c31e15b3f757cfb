"""The reporting time zone, in which days and hours of usage are counted, and how a time is divided.

A time is covered by as few buckets as there can be: whole days, then hours at its ends, then
quarters of an hour, which every time zone's days and hours are made of.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from authority.domain.usage import QUARTER

GRAINS = DAY, HOUR, QUARTER_HOUR = 1440, 60, 15
"""In minutes."""


class Piece(NamedTuple):
    """A part of a time that buckets of one grain cover; grains are in minutes."""

    grain: int
    start: datetime
    end: datetime


def divide(
    start: datetime, end: datetime, time_zone: str, *, days: bool = True, hours: bool = True
) -> list[Piece]:
    """Return the pieces of a time, in no order; without `days`, or `hours`, by the grains below.

    Both ends are full quarters of an hour.
    """
    zone = ZoneInfo(time_zone)
    pieces = [Piece(QUARTER_HOUR, start, end)]
    if hours:
        pieces = _refine(pieces, HOUR, zone)
    if days:
        pieces = _refine(pieces, DAY, zone)
    return pieces


def _refine(pieces: list[Piece], grain: int, zone: ZoneInfo) -> list[Piece]:
    """Cover what can be of the first and the last of the pieces by a larger grain."""
    refined = []
    start = min(piece.start for piece in pieces)
    end = max(piece.end for piece in pieces)
    inner = Piece(grain, _ceil(start, grain, zone), floor(end, grain, zone))
    if inner.start >= inner.end:
        return pieces
    for piece in pieces:
        before = Piece(piece.grain, piece.start, min(piece.end, inner.start))
        after = Piece(piece.grain, max(piece.start, inner.end), piece.end)
        refined += [part for part in (before, after) if part.start < part.end]
    return [*refined, inner]


def floor(moment: datetime, grain: int, zone: ZoneInfo) -> datetime:
    """Return when the bucket that holds a moment began."""
    local = moment.astimezone(zone)
    if grain == DAY:
        return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
    past = timedelta(
        minutes=local.minute % grain, seconds=local.second, microseconds=local.microsecond
    )
    return moment.astimezone(UTC) - past


def _ceil(moment: datetime, grain: int, zone: ZoneInfo) -> datetime:
    below = floor(moment, grain, zone)
    if below == moment:
        return below
    # A day has up to 25 hours; 26 later is within the next one.
    return floor(below + (timedelta(hours=26) if grain == DAY else QUARTER * 4), grain, zone)
