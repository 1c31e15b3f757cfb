"""The clock of the command line's own edge. What decides about money asks the hot store's."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  # Here the clock that others are given comes from.
