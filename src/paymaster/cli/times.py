"""Points in time as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import click


class _Time(click.ParamType[datetime]):
    """A day or a time in ISO 8601; in UTC where no zone is given."""

    name = "time"

    def convert(
        self,
        value: str | datetime,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime:
        """Return the time in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time; write 2026-11-21, or 2026-11-21T10:30:00Z.", param, ctx
            )


TIME = _Time()
