"""Points in time as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

_SPAN = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_Command = TypeVar("_Command", bound=Callable[..., Any])


def time_option(name: str, help: str) -> Callable[[_Command], _Command]:  # noqa: A002  # click's word
    """Declare an option that takes a day or a time in ISO 8601."""
    return click.option(name, type=parse_time, metavar="TIME", help=help)


def parse_time(text: str) -> datetime:
    """Return the time in UTC, which it is taken to be in where no zone is given.

    Raises click.BadParameter.
    """
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a time; write 2026-11-21, or 2026-11-21T10:30:00Z."
        ) from None


def parse_span(text: str) -> timedelta:
    """Return a span such as `90s`, `10m`, `2h` or `7d`. Raises click.BadParameter."""
    read = _SPAN.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is not a span; write 90s, 10m, 2h or 7d.")
    return timedelta(seconds=int(read[1]) * _SECONDS[read[2]])


def span_word(span: timedelta) -> str:
    """Return a span of whole seconds as `parse_span` reads it, such as `90s` or `30d`."""
    seconds = round(span.total_seconds())
    letter = next(unit for unit in reversed(_SECONDS) if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[letter]}{letter}"


def span_text(span: timedelta | None) -> str:
    """Return a span for people, such as `0.35s`, `12s` or `3m20s`; a dash for none."""
    if span is None:
        return "-"
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
