"""Points and spans of time as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

_SPAN = re.compile(r"(\d{1,7})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

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
    """Return the span of time. Raises click.BadParameter."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a span of time; write 90s, 10m, 2h or 1d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
