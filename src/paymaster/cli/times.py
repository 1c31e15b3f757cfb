"""Points in time as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

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
